"""Reads the whole stream of events like any consumer, and prints what it has seen of each subject, without doubles."""

import asyncio
import json
import os

import nats


async def main() -> None:
    connection = await nats.connect(os.environ["NATS_URL"])
    try:
        stream = connection.jetstream()
        last = (await stream.stream_info("dstc")).state.last_seq
        subscription = await stream.subscribe("dstc.>", ordered_consumer=True)
        known: set[str] = set()
        seen: dict[str, list[str]] = {}
        doubles = 0
        while True:
            message = await subscription.next_msg(timeout=20)
            headers = message.headers
            assert headers["ce-specversion"] == "1.0"
            json.loads(message.data)
            if headers["ce-id"] in known:
                doubles += 1
            else:
                known.add(headers["ce-id"])
                seen.setdefault(headers["ce-subject"], []).append(headers["ce-type"])
            if message.metadata.sequence.stream >= last:
                break
        print(json.dumps({"doubles": doubles, "seen": seen}))
    finally:
        await connection.close()


asyncio.run(main())
