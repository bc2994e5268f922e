# One image for every process: `serve` alone by default, `web`, `project`, `relay` and `migrate` in
# docker-compose.yml.
#   docker build -t packledger . && docker run -p 8765:8765 -v packledger:/data \
#     -e PACKLEDGER_PUBLIC_URL=https://registry.example.com packledger
FROM python:3.11-slim AS build
WORKDIR /src
# The dependencies first: they change less often than the code, and their layer is kept.
COPY requirements.lock .
RUN python -m venv /opt/packledger \
 && /opt/packledger/bin/pip install --no-cache-dir --require-hashes -r requirements.lock
COPY . .
RUN /opt/packledger/bin/pip install --no-cache-dir --no-deps --no-build-isolation .

FROM python:3.11-slim
# The group of the nginx image reads the static tree; 2: what is inside has that group, too.
RUN useradd --system --uid 10001 --home-dir /data packledger \
 && install -d -o packledger -m 0700 /data \
 && install -d -o packledger -g 101 -m 2750 /static
COPY --from=build /opt/packledger /opt/packledger
# `docker exec … packledger user add alice` finds the data without being told.
ENV PATH=/opt/packledger/bin:$PATH PACKLEDGER_DATA=/data PYTHONUNBUFFERED=1
USER packledger
WORKDIR /data
VOLUME /data
EXPOSE 8765
STOPSIGNAL SIGTERM
# Healthy means ready and caught up: /health answers 503 until then. Of `serve` and `web` alone.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
  CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8765/health', timeout=4)"]
ENTRYPOINT ["packledger"]
CMD ["serve", "--listen", "http://0.0.0.0:8765"]
