"""The locked versions fit pyproject.toml and each other; `make lock` makes them so."""

import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

REPOSITORY = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
RUNTIME = PROJECT["dependencies"]
DEVELOP = RUNTIME + PROJECT["optional-dependencies"]["dev"]


def locked(name):
    pins = re.findall(r"^([\w.-]+)==(\S+)", (REPOSITORY / name).read_text(), re.M)
    return {canonicalize_name(package): version for package, version in pins}


def unmet(wanted, pins):
    requirements = [Requirement(text) for text in wanted]
    return [
        str(requirement)
        for requirement in requirements
        if pins.get(canonicalize_name(requirement.name)) not in requirement.specifier
    ]


def test_locked_versions_meet_what_the_project_asks_for():
    assert unmet(RUNTIME, locked("requirements.txt")) == []
    assert unmet(DEVELOP, locked("requirements-dev.txt")) == []


def test_tests_run_on_the_versions_of_production():
    runtime = locked("requirements.txt")
    develop = locked("requirements-dev.txt")

    assert {name: develop.get(name) for name in runtime} == runtime
