"""Which failures are worth another attempt."""

from typing import Any

from prefect.client.schemas.objects import State, TaskRun
from prefect.tasks import Task

RETRIES = 2
RETRY_SECONDS = [1.0, 5.0]


def may_succeed_later(task: Task[Any, Any], run: TaskRun, state: State[Any]) -> bool:
    """Whether a failed task may succeed with the same input: networks and disks do, wrong values never."""
    try:
        state.result()
    except (ValueError, TypeError, KeyError, ImportError):
        return False
    except Exception:
        return True
    return False
