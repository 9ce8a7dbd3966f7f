"""What a container is made from, as images carry it: moby's ``container.Config`` and ``container.HealthConfig`` of 20.10.

A slice or map that Go's output tells apart as nil and as empty is None or empty here; where it cannot tell, it is empty.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import msgspec

from imagestore.gojson import BOOL, STR_SLICE, TEXT, TEXT_MAP, TEXT_SET, Field, Int, Pointer, Slice, Struct, TextSet


class HealthConfig(msgspec.Struct, frozen=True, kw_only=True):
    """How a container is checked for health; zero and empty mean to inherit.

    Args:
        test: ``("NONE",)``, ``("CMD", argument, ...)`` or ``("CMD-SHELL", command)``.
        interval: nanoseconds between two checks.
        timeout: nanoseconds after which a check has hung.
        start_period: nanoseconds for the container to start in before failures count.
        retries: failures in a row that make it unhealthy.

    Source: moby's ``container.HealthConfig``.
    """

    test: tuple[str, ...] = ()
    interval: int = 0
    timeout: int = 0
    start_period: int = 0
    retries: int = 0


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """What a container is made from, but for what depends on its host.

    ``exposed_ports`` and ``volumes`` are sets (in Go maps to an empty struct); ``stop_timeout`` is in seconds. It cannot be
    hashed if it has labels.

    Source: moby's ``container.Config``.
    """

    hostname: str = ""
    domainname: str = ""
    user: str = ""
    attach_stdin: bool = False
    attach_stdout: bool = False
    attach_stderr: bool = False
    exposed_ports: frozenset[str] = frozenset()
    tty: bool = False
    open_stdin: bool = False
    stdin_once: bool = False
    env: tuple[str, ...] | None = None
    cmd: tuple[str, ...] | None = None
    healthcheck: HealthConfig | None = None
    args_escaped: bool = False
    image: str = ""
    volumes: frozenset[str] | None = None
    working_dir: str = ""
    entrypoint: tuple[str, ...] | None = None
    network_disabled: bool = False
    mac_address: str = ""
    on_build: tuple[str, ...] | None = None
    labels: Mapping[str, str] | None = None
    stop_signal: str = ""
    stop_timeout: int | None = None
    shell: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.labels is not None:
            msgspec.structs.force_setattr(self, "labels", MappingProxyType(dict(self.labels)))


INTEGER: Final = Int("int")
DURATION: Final = Int("time.Duration")

HEALTH_CONFIG: Final = Struct(
    HealthConfig,
    Field("test", "Test", Slice(TEXT), omitempty=True),
    Field("interval", "Interval", DURATION, omitempty=True),
    Field("timeout", "Timeout", DURATION, omitempty=True),
    Field("start_period", "StartPeriod", DURATION, omitempty=True),
    Field("retries", "Retries", INTEGER, omitempty=True),
    go="container.HealthConfig",
)

CONFIG: Final = Struct(
    Config,
    Field("hostname", "Hostname", TEXT),
    Field("domainname", "Domainname", TEXT),
    Field("user", "User", TEXT),
    Field("attach_stdin", "AttachStdin", BOOL),
    Field("attach_stdout", "AttachStdout", BOOL),
    Field("attach_stderr", "AttachStderr", BOOL),
    Field("exposed_ports", "ExposedPorts", TextSet("nat.PortSet"), omitempty=True),
    Field("tty", "Tty", BOOL),
    Field("open_stdin", "OpenStdin", BOOL),
    Field("stdin_once", "StdinOnce", BOOL),
    Field("env", "Env", Slice(TEXT)),
    Field("cmd", "Cmd", STR_SLICE),
    Field("healthcheck", "Healthcheck", Pointer(HEALTH_CONFIG), omitempty=True),
    Field("args_escaped", "ArgsEscaped", BOOL, omitempty=True),
    Field("image", "Image", TEXT),
    Field("volumes", "Volumes", TEXT_SET),
    Field("working_dir", "WorkingDir", TEXT),
    Field("entrypoint", "Entrypoint", STR_SLICE),
    Field("network_disabled", "NetworkDisabled", BOOL, omitempty=True),
    Field("mac_address", "MacAddress", TEXT, omitempty=True),
    Field("on_build", "OnBuild", Slice(TEXT)),
    Field("labels", "Labels", TEXT_MAP),
    Field("stop_signal", "StopSignal", TEXT, omitempty=True),
    Field("stop_timeout", "StopTimeout", Pointer(INTEGER), omitempty=True),
    Field("shell", "Shell", STR_SLICE, omitempty=True),
    go="container.Config",
)
