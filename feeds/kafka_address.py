"""Where the log is in Kafka, and how to speak with its brokers."""

import logging
from typing import Any

from kafka import TopicPartition

from packledger.feeds.settings import Brokers

# The client logs an ERROR for every refused connection, several in a second while a broker is
# away; whoever calls it says that once, in a sentence.
logging.getLogger("kafka").setLevel(logging.CRITICAL)

REQUEST_TIMEOUT_MS = 4_000
BOOTSTRAP_TIMEOUT_MS = 1_500


class KafkaAddress(Brokers, frozen=True):
    """Brokers (`HOST:PORT`), topic, and credentials; replicas: of a topic that is created."""

    @property
    def partition(self) -> TopicPartition:
        """The one partition."""
        return TopicPartition(self.topic, 0)

    def __str__(self) -> str:
        return f"topic `{self.topic}` at `{','.join(self.servers)}`"

    def options(self) -> dict[str, Any]:
        """Return what every client of kafka-python is opened with.

        The default back-off of 30 s would leave us deaf that long after a broker's restart.
        """
        options: dict[str, Any] = {
            "bootstrap_servers": list(self.servers),
            "bootstrap_timeout_ms": BOOTSTRAP_TIMEOUT_MS,
            "reconnect_backoff_max_ms": 500,
            "request_timeout_ms": REQUEST_TIMEOUT_MS,
            "security_protocol": ("SASL_" if self.user else "")
            + ("SSL" if self.tls else "PLAINTEXT"),
        }
        if self.ca_file:
            options["ssl_cafile"] = self.ca_file
        if self.user:
            options |= {
                "sasl_mechanism": "SCRAM-SHA-512",
                "sasl_plain_username": self.user,
                "sasl_plain_password": self.password,
            }
        return options


def explained(error: BaseException) -> str:
    """Return what an error of the client says, and what it may mean."""
    if "Unable to bootstrap" in str(error):  # whatever was wrong before the first answer
        return (
            "no broker answers; if one runs there, check `kafka_tls`, `kafka_ca_file`, "
            "`kafka_user` and `kafka_password`"
        )
    return str(error) or type(error).__name__
