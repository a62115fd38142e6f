"""A daily export by four shards as mapped tasks of Airflow 3, and their merge.

Install the program on the workers (`pip install keyapi-export`), put this file into the DAGs' folder, and make a pool of one slot for
each key, so that one process at a time uses a key:

    airflow pools set keyapi_key_0 1 "one process a key"

A second key is a second pool and a second entry of KEYS; shards are dealt out to the keys, and those of different keys run side by side.
Output and states lie on one disk of one worker: a journal does not work on a network file system.
"""

import os
import subprocess

import pendulum
from airflow.sdk import dag, get_current_context, task
from airflow.sdk.exceptions import AirflowException, AirflowFailException

PROGRAM = os.environ.get("EXPORTER_PROGRAM", "keyapi-export")
CONFIG = os.environ.get("EXPORTER_CONFIG", "/etc/keyapi-export/daily.toml")
OUT = os.environ.get("EXPORTER_OUT", "/var/lib/keyapi-export/out/daily")
SHARDS = 4
# A file with the key, and the pool of one slot that goes with it.
KEYS = [(os.environ.get("EXPORTER_KEY_FILE", "/etc/keyapi-export/key"), "keyapi_key_0")]

# Gaps are listed, and merge tells them.
DONE = {0, 3}
# The service is unwell, another run is at work, or the start was stopped: the same command goes on.
TRY_AGAIN = {5, 11, 129, 130, 143}


def call(*arguments: str) -> int:
    """Runs the program, and ends the task as its exit code says."""
    code = subprocess.run([PROGRAM, *arguments], check=False).returncode
    if code in DONE:
        return code
    words = f"{arguments[0]} ended with {code}; the log says why"
    # A number below 0 is that of a signal that killed it.
    raise AirflowException(words) if code in TRY_AGAIN or code < 0 else AirflowFailException(words)


@dag(
    schedule="30 0 * * *",
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 6, "retry_delay": pendulum.duration(minutes=10)},
)
def keyapi_export():
    def shards_of(number: int):
        key, pool = KEYS[number]

        @task(task_id=f"shard_{number}", pool=pool)
        def shard(name: str) -> int:
            # The dates are the DAG run's, so that a shard which is tried again tomorrow means the same days.
            day = get_current_context()["logical_date"].in_timezone("UTC")
            first, last = day.subtract(days=7).to_date_string(), day.to_date_string()
            return call(
                "run", "--config", CONFIG, "--token-file", key, "--out", OUT,
                "--from", first, "--to", last, "--shard", name,
            )  # fmt: skip

        return shard.expand(name=[f"{i}/{SHARDS}" for i in range(1, SHARDS + 1) if (i - 1) % len(KEYS) == number])

    @task(retries=0)
    def merge() -> int:
        return call("merge", "--out", OUT)

    [shards_of(number) for number in range(len(KEYS))] >> merge()


keyapi_export()
