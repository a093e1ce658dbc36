"""The timeline of a rehearsal tells of each table the wait by which it was judged."""

from checks.tools import lanes


def test_a_lane_is_over_the_limit_when_any_wait_is_so_in_production() -> None:
    stalls = [
        {"table": "orders", "who": "reader", "seconds": 2.0, "predicted": 2.0, "began": 0.0},
        {"table": "orders", "who": "writer", "seconds": 0.5, "predicted": 50.0, "began": 3.0},
    ]
    drawn = lanes.draw([], [], stalls, 5.0)
    (lane,) = drawn["lanes"]
    assert (lane["who"], lane["seconds"], lane["over"]) == ("writer", 0.5, True)
