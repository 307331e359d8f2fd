"""The trigger Bus and a rule of EventBridge, each with its function, in the harness."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from eventflow import App
from eventflow.composition import Core
from eventflow.database import Database
from eventflow.testing.harness import Harness
from eventflow.testing.recording_target import RecordingTarget
from eventflow.testing.virtual_clock import VirtualClock
from triggers import Bus

Start = Callable[[str | App], Harness]


def test_functions_on_buses(eventflow_harness: Start) -> None:
    app = App("shop")
    seen: list[Any] = []

    @app.on(Bus({"source": ["shop"], "detail": {"total": [{"numeric": [">", 100]}]}}))
    def large(event: Any, _context: Any) -> None:
        seen.append(("large", event["detail"]["total"]))

    @app.on(Bus('{"source": ["shop"]}', bus=app.bus("orders")))
    def ordered(event: Any, _context: Any) -> None:
        seen.append(("ordered", event["detail"]["total"]))
        if len(seen) < 4:
            raise RuntimeError("once more")

    @app.function()
    def ruled(event: Any, context: Any) -> None:
        seen.append(("ruled", event))

    harness = eventflow_harness(app)
    events = harness.client("events")
    entry = {"Source": "shop", "DetailType": "order"}
    events.put_events(Entries=[entry | {"Detail": json.dumps({"total": total})} for total in (50, 150)])
    harness.drain()
    assert seen == [("large", 150)]
    events.put_events(Entries=[entry | {"Detail": json.dumps({"total": 1}), "EventBusName": "orders"}])
    harness.advance("5m")
    assert seen[1:] == [("ordered", 1)] * 3, "the function's own retries"
    events.put_rule(Name="r", EventPattern='{"source": ["shop"]}')
    arn = "arn:aws:lambda:us-east-1:000000000000:function:ruled"
    events.put_targets(Rule="r", Targets=[{"Id": "f", "Arn": arn, "InputPath": "$.detail"}])
    events.put_events(Entries=[entry | {"Detail": json.dumps({"total": 7})}])
    harness.drain()
    assert seen[4:] == [("ruled", {"total": 7})]


def test_the_chain_of_causes_goes_on(tmp_path: Path) -> None:
    """So that a function that puts what starts it is stopped, as on AWS, where the trace's header travels with the event."""
    trace = "Root=1-5759e988-bd862e3fe1be46a994272793;Lineage=aa:7"

    async def scenario() -> None:
        clock = VirtualClock()
        database = Database(tmp_path / "bus.db")
        core = Core(database, clock, buckets=tmp_path / "buckets", account="000000000000", region="us-east-1")
        await core.open()
        target = RecordingTarget(clock)
        target.buses["default"] = await core.buses.source("us-east-1", "default", "function/bus/1")
        trigger = Bus({"source": ["loop"]})
        assert await trigger.sweep(target) == 0
        entry = {"Source": "loop", "DetailType": "x", "Detail": "{}"}
        await core.buses.put_events("us-east-1", [entry, entry | {"TraceHeader": "Root=1-2"}], trace)
        assert await trigger.sweep(target) == 2
        assert [delivery.trace for delivery in target.deliveries] == [trace, "Root=1-2"]
        await core.schedules.close()
        core.close()
        database.close()

    asyncio.run(scenario())
