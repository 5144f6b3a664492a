"""Finds the Chromium for the browser tests; run as a program, it gets one."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def find():
    """The program's path: $CHROMIUM, one on the PATH, or Playwright's; else None."""
    if named := os.environ.get("CHROMIUM"):
        return named if shutil.which(named) else None
    for name in NAMES:
        if path := shutil.which(name):
            return path
    return _playwrights()


def _playwrights():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        path = playwright.chromium.executable_path
    return path if Path(path).exists() else None


def main():
    """Make sure there is one, or end with the command that a person should run."""
    if find():
        return
    if named := os.environ.get("CHROMIUM"):
        sys.exit(f"CHROMIUM names {named}, which is not a program.")
    for command in _ways_to_install():
        sys.stderr.write(f"No Chromium for the browser tests: {' '.join(command)}\n")
        if subprocess.run(command).returncode == 0 and find():
            return
    sys.exit(
        "The browser tests need Chromium and it could not be installed. Run one of\n"
        "    sudo apt-get install chromium\n"
        "    .venv/bin/playwright install --with-deps chromium\n"
        "or set CHROMIUM to the path of one."
    )


def _ways_to_install():
    if shutil.which("apt-get") and os.geteuid() == 0:
        yield ["apt-get", "update", "-qq"]
        yield ["apt-get", "install", "-y", "-qq", "--no-install-recommends", "chromium"]
    yield [sys.executable, "-m", "playwright", "install", "chromium"]


if __name__ == "__main__":
    main()
