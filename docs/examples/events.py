"""Prints the events of one subject (an identifier, say) from JetStream, oldest first, as an ordinary NATS client.

    python events.py SUBJECT

Needs nats-py from PyPI; takes NUMBERING_NATS_URL from the environment (see dev.env).
"""

import asyncio
import json
import os
import sys

import nats
from nats.js.api import AckPolicy, ConsumerConfig


async def main(subject: str) -> None:
    client = await nats.connect(os.environ["NUMBERING_NATS_URL"])
    events = await client.jetstream().pull_subscribe(
        "numbering.>", stream="NUMBERING", config=ConsumerConfig(ack_policy=AckPolicy.NONE)
    )
    try:
        while True:
            for message in await events.fetch(100, timeout=1):
                event = json.loads(message.data)
                if event["subject"] == subject:
                    data = event["data"]
                    told = {name: data[name] for name in ("kind", "reason", "ticketId", "availableAt", "chargeId") if name in data}
                    print(data.get("version"), event["type"], json.dumps(told))
    except nats.errors.TimeoutError:
        pass
    await client.close()


asyncio.run(main(sys.argv[1]))
