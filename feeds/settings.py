"""Where the log is in Kafka. The client is not imported here."""

from typing import Annotated

from packledger.domain.section import Section, setting


class Brokers(Section, frozen=True):
    """The log in Kafka, from which the nodes of a cluster read it."""

    servers: Annotated[
        tuple[str, ...],
        setting(
            "Kafka brokers, `HOST:PORT`, from which this node reads the log. Empty: it reads the "
            "event store itself.",
            flat="kafka",
        ),
    ] = ()
    topic: Annotated[
        str,
        setting(
            "The topic of the log: one partition, kept for ever. The relay creates it.",
            flat="kafka_topic",
        ),
    ] = "packledger-events"
    replicas: Annotated[
        int,
        setting(
            "On how many brokers a topic that the relay creates is kept.",
            ge=1,
            flat="kafka_replicas",
        ),
    ] = 1
    tls: Annotated[bool, setting("Whether to speak TLS with the brokers.", flat="kafka_tls")] = (
        False
    )
    ca_file: Annotated[
        str,
        setting(
            "A PEM file of the authorities that may sign the brokers' certificates.",
            flat="kafka_ca_file",
            path=True,
        ),
    ] = ""
    user: Annotated[
        str, setting("The user for SASL (SCRAM-SHA-512). Empty: none.", flat="kafka_user")
    ] = ""
    password: Annotated[
        str, setting("The password of `kafka_user`.", flat="kafka_password", secret=True)
    ] = ""
