"""Any bytes are read or refused; a tarball is read as Python's own reader reads it."""

import gzip
import io
import tarfile

from hypothesis import given
from hypothesis import strategies as st

from packledger.commands.archives.tar_reader import iter_tar_gz
from packledger.commands.npm.archive import read_npm_archive
from packledger.domain.errors import RegistryError

LIMIT = 4 << 20
PATHS = st.lists(
    st.text(
        st.characters(
            exclude_characters="/\\", exclude_categories=["Cc", "Zl", "Zp"], codec="utf-8"
        ),
        min_size=1,
        max_size=60,
    ),
    min_size=1,
    max_size=4,
).map("/".join)
FILES = st.dictionaries(PATHS, st.binary(max_size=3_000), max_size=6)
FORMS = st.sampled_from([tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])


def tar(files: dict[str, bytes], form: int) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as archive:
        for path, data in files.items():
            info = tarfile.TarInfo(path)
            info.size = len(data)
            try:
                archive.addfile(info, io.BytesIO(data))
            except ValueError:  # ustar cannot hold every long path
                continue
    return buffer.getvalue()


@given(FILES, FORMS, st.integers(1, 4_000))
def test_members_are_those_of_another_reader(
    files: dict[str, bytes], form: int, step_bytes: int
) -> None:
    data = gzip.compress(tar(files, form))
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz") as archive:
        expected = [
            (info.name, (archive.extractfile(info) or io.BytesIO()).read()) for info in archive
        ]
    found = []
    for entry in iter_tar_gz(io.BytesIO(data), max_unpacked_bytes=LIMIT):
        assert entry.kind == "file"
        found.append((entry.path, b"".join(iter(lambda e=entry: e.read(step_bytes), b""))))
    assert found == expected


@given(FILES, FORMS)
def test_members_may_be_left_unread(files: dict[str, bytes], form: int) -> None:
    data = gzip.compress(tar(files, form))
    sizes = [entry.size for entry in iter_tar_gz(io.BytesIO(data), max_unpacked_bytes=LIMIT)]
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz") as archive:
        assert sizes == [info.size for info in archive]


@given(FILES, FORMS, st.data())
def test_any_bytes_are_read_or_refused(
    files: dict[str, bytes], form: int, data: st.DataObject
) -> None:
    archive = tar({"package/package.json": b"{}", **files}, form)
    place = data.draw(st.integers(0, len(archive) - 1))
    archive = archive[:place] + data.draw(st.binary(min_size=1, max_size=20)) + archive[place + 1 :]
    packed = gzip.compress(archive)
    cut = data.draw(st.integers(0, len(packed)))
    for candidate in (packed, packed[:cut], data.draw(st.binary(max_size=99)), archive):
        try:
            found = read_npm_archive(io.BytesIO(candidate), LIMIT)
        except RegistryError:
            continue
        assert found.unpacked_bytes <= len(archive)
