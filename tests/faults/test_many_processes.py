"""Work in several processes ends with the process that asked for it."""

import subprocess
import sys
from pathlib import Path

from process_tree import session, wait_until

SCRIPT = """
import time
from packledger.server.processes.rebuilding import in_processes

def work(folder, number, progress):
    open(f"{folder}/{number}", "x").close()
    time.sleep(60)

if __name__ == "__main__":
    import sys
    in_processes([(work, (sys.argv[1], number)) for number in range(2)], lambda *_: None)
"""


def test_who_is_killed_while_others_work_leaves_none_of_them(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    at_work = tmp_path / "at-work"
    at_work.mkdir()
    process = subprocess.Popen([sys.executable, script, at_work], start_new_session=True)
    wait_until(lambda: len(list(at_work.iterdir())) == 2, "both are at work")
    process.kill()
    process.wait()
    wait_until(lambda: not session(process.pid), "all of them have ended")
