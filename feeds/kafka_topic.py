"""The topic of the log: created rightly, or checked and refused.

One partition, or there would be no total order; never expired, never compacted, or the log would
have holes.
"""

from typing import Any

from kafka import KafkaAdminClient
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.errors import TopicAlreadyExistsError, UnknownTopicOrPartitionError

from packledger.domain.errors import Conflict
from packledger.eventstore.log import STATE_LIMIT_BYTES
from packledger.feeds.kafka_address import KafkaAddress

RECORD_BYTES = STATE_LIMIT_BYTES + 64 * 1024
"""The largest event with its headers; a batch holds at least one."""
_KEPT_FOR_EVER = {"retention.ms": "-1", "retention.bytes": "-1", "cleanup.policy": "delete"}


def prepare_topic(address: KafkaAddress) -> None:
    """Create the topic, or check the one there is.

    Raises:
        Conflict: the topic has another number of partitions, or would lose or refuse events.
        KafkaError: the brokers do not answer or refuse.
    """
    with KafkaAdminClient(**address.options()) as admin:
        found = _described(admin, address.topic)
        if found is None:
            _create(admin, address)
            found = _described(admin, address.topic)
        if found is not None:
            _check_partitions(address, len(found["partitions"]))
        _check_configuration(address, _configuration(admin, address.topic))


def _described(admin: Any, topic: str) -> Any:
    try:
        (found,) = admin.describe_topics([topic])
    except UnknownTopicOrPartitionError:
        return None
    return None if found["error_code"] == UnknownTopicOrPartitionError.errno else found


def _create(admin: Any, address: KafkaAddress) -> None:
    configs = _KEPT_FOR_EVER | {
        "max.message.bytes": str(1024 * 1024),
        # One broker may be away; a broker that missed events never leads.
        "min.insync.replicas": str(max(1, address.replicas - 1)),
        "unclean.leader.election.enable": "false",
    }
    wanted = {"num_partitions": 1, "replication_factor": address.replicas, "configs": configs}
    try:
        admin.create_topics({address.topic: wanted}, wait_for_metadata=True)
    except TopicAlreadyExistsError:
        return  # another relay was faster


def _configuration(admin: Any, topic: str) -> dict[str, str]:
    resource = ConfigResource(ConfigResourceType.TOPIC, topic)
    described = admin.describe_configs([resource], config_filter="all")
    return {name: str(one["value"]) for name, one in described["topic"][topic].items()}


def _check_partitions(address: KafkaAddress, partitions: int) -> None:
    if partitions != 1:
        raise Conflict(
            f"{address} has {partitions} partitions, which have no order among them; delete it, "
            "the relay creates it with one, or name another with `kafka_topic`"
        )


def _check_configuration(address: KafkaAddress, configuration: dict[str, str]) -> None:
    for name, wanted in _KEPT_FOR_EVER.items():
        if configuration[name] != wanted:
            raise Conflict(
                f"{address} has `{name}={configuration[name]}` and would lose events; "
                f"set `{name}={wanted}` with kafka-configs"
            )
    if int(configuration["max.message.bytes"]) < RECORD_BYTES:
        raise Conflict(
            f"{address} has `max.message.bytes={configuration['max.message.bytes']}`, an event "
            f"can take {RECORD_BYTES}; set it to 1048576 with kafka-configs"
        )
