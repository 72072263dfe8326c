"""Tells the service what compliance or billing would: publishes an event to JetStream.

    python tell.py TYPE DATA [ID]

TYPE is the event's type, such as compliance.tenant.suspended, DATA its JSON. The same ID again has no effect. Needs nats-py from
PyPI; takes NUMBERING_NATS_URL from the environment (see dev.env).
"""

import asyncio
import json
import os
import sys
import uuid
from datetime import datetime, timezone

import nats


async def main(kind: str, data: str, event_id: str) -> None:
    event = {
        "specversion": "1.0",
        "id": event_id,
        "source": "/docs/examples",
        "type": kind,
        "time": datetime.now(timezone.utc).isoformat(),
        "datacontenttype": "application/json",
        "data": json.loads(data),
    }
    client = await nats.connect(os.environ["NUMBERING_NATS_URL"])
    try:
        kept = await client.jetstream().publish(kind, json.dumps(event).encode())
        print(f"kept by {kept.stream} as {kept.seq}")
    finally:
        await client.close()


asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3] if len(sys.argv) > 3 else str(uuid.uuid4())))
