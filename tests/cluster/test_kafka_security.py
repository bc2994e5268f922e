"""Brokers that speak TLS and want a user and a password."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from kafka_broker import Broker, Node
from packledger.domain.errors import Unavailable
from packledger.feeds.kafka_address import KafkaAddress
from packledger.feeds.kafka_feed import KafkaFeed
from relayed import assert_exact, relay_all
from s3_server import write_certificate
from small_logs import ListFeed, owners_come

pytestmark = [
    pytest.mark.service,
    pytest.mark.usefixtures("collect_sockets"),
    pytest.mark.filterwarnings("ignore:unclosed <s:ResourceWarning"),
]
USER, PASSWORD = "packledger", "a-pass.word_of=tests"


class SecureBroker(Broker):
    """Beside its plain listener, one with TLS and SCRAM-SHA-512."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.secure = f"127.0.0.1:{Node.on_free_ports(0).port}"
        self.certificate = folder / "certificate.pem"
        write_certificate(self.certificate, folder / "key.pem")
        (folder / "both.pem").write_text(
            (folder / "key.pem").read_text() + self.certificate.read_text()
        )

    def users(self) -> tuple[str, ...]:
        return ("--add-scram", f"SCRAM-SHA-512=[name={USER},password={PASSWORD}]")

    def properties(self) -> Iterator[tuple[str, Any]]:
        for name, value in super().properties():
            if name in {"listeners", "advertised.listeners"}:
                yield name, f"{value},SECURE://{self.secure}"
            elif name == "listener.security.protocol.map":
                yield name, f"{value},SECURE:SASL_SSL"
            else:
                yield name, value
        yield "sasl.enabled.mechanisms", "SCRAM-SHA-512"
        module = "org.apache.kafka.common.security.scram.ScramLoginModule"
        yield "listener.name.secure.scram-sha-512.sasl.jaas.config", f"{module} required;"
        yield "ssl.keystore.type", "PEM"
        yield "ssl.keystore.location", self.certificate.with_name("both.pem")


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureBroker]:
    broker = SecureBroker(tmp_path_factory.mktemp("kafka"))
    try:
        broker.start()
        yield broker
    finally:
        broker.kill()


def address(broker: SecureBroker, **changed: Any) -> KafkaAddress:
    right = KafkaAddress(
        servers=(broker.secure,),
        topic="log",
        tls=True,
        ca_file=str(broker.certificate),
        user=USER,
        password=PASSWORD,
    )
    return msgspec.structs.replace(right, **changed)


def test_relay_and_feed_speak_tls_and_give_their_password(broker: SecureBroker) -> None:
    log = owners_come(5)
    relay_all(ListFeed(log), address(broker))
    assert_exact(address(broker), log)


@pytest.mark.parametrize(
    "wrong",
    [{"password": "wrong"}, {"user": "nobody"}, {"user": ""}, {"tls": False}, {"ca_file": ""}],
)
def test_who_does_not_know_the_password_or_the_authority_gets_nothing(
    broker: SecureBroker, wrong: dict[str, Any]
) -> None:
    with (
        closing(KafkaFeed(address(broker, **wrong))) as feed,
        pytest.raises(Unavailable, match="check `kafka_tls`") as refused,
    ):
        feed.read(0, 10)
    assert PASSWORD not in refused.value.sentence
