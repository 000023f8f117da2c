"""Taking turns: of the runs that would do the same work, one at a time.

Two runs that encode into one store would fit the same images, of which each is stored once: nothing breaks, and half of
the work is for nothing. So each takes its turn first: a slot of a global concurrency limit of the Prefect server, which
is made where it is missing. The slot is a lease. Who holds it renews it from a thread; of a holder that was killed it
runs out after ``LEASE_SECONDS``, the server notices within 15 more, and the next one goes on.
"""

import hashlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

from prefect import get_client, get_run_logger
from prefect.client.schemas.actions import GlobalConcurrencyLimitCreate
from prefect.concurrency.sync import concurrency
from prefect.exceptions import ObjectAlreadyExists

LEASE_SECONDS = 60.0
"""The shortest that the server grants."""

LONGEST_WAIT_SECONDS = 12 * 3600.0
"""After it a run goes on without its turn: the store takes each image once, whatever the server's books say."""


def turn_name(verb: str, store: str) -> str:
    """The name of a turn's limit: the verb, and a hash for the store, whose URL may hold what names may not."""
    return f"rinr-{verb}-{hashlib.sha256(store.rstrip('/').encode()).hexdigest()[:12]}"


@contextmanager
def turn(verb: str, store: str) -> Iterator[None]:
    """Hold the turn to do something to a store, and wait before that while another run has it.

    A lease that cannot be renewed, since the server is away, ends no run: the work goes on, and at worst another run
    does the same.

    Args:
        verb: what is done; runs of other verbs are not waited for.
        store: URL of the store.

    Raises:
        prefect.concurrency.asyncio.ConcurrencySlotAcquisitionError: the server grants no turns.
    """
    name = turn_name(verb, store)
    logger = get_run_logger()
    if _is_taken(name):
        logger.info(
            "another run has the turn to %s: this one waits. Where there is none, as after a server lost its leases, "
            "`prefect gcl update %s --active-slots 0` gives the turn back", verb, name,
        )  # fmt: skip
    with ExitStack() as held:
        try:
            held.enter_context(
                concurrency(
                    name,
                    timeout_seconds=LONGEST_WAIT_SECONDS,
                    lease_duration=LEASE_SECONDS,
                    strict=True,
                    raise_on_lease_renewal_failure=False,
                )
            )
        except TimeoutError:
            logger.warning("no turn to %s after %.0f hours: going on without", verb, LONGEST_WAIT_SECONDS / 3600)
        yield


def _is_taken(name: str) -> bool:
    """Whether another run has the turn now; makes the limit where there is none."""
    with get_client(sync_client=True) as client:
        with suppress(ObjectAlreadyExists):
            client.create_global_concurrency_limit(GlobalConcurrencyLimitCreate(name=name, limit=1))
            return False
        return bool(client.read_global_concurrency_limit_by_name(name).active_slots)
