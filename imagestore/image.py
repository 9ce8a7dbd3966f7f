"""Images as moby's package ``image`` has them: a configuration of JSON bytes, and what it says.

An `Image` keeps its bytes and its ID, which is their digest. What is in the bytes is read when it is first touched: a store that
hands out a thousand images has parsed none of them. Everything here is immutable.
"""

from __future__ import annotations

import functools
import platform
import sys
from typing import Any, Final, Generic, NoReturn, Self, TypeVar, overload

import msgspec

from imagestore.container import CONFIG, Config
from imagestore.digest import ChainID, DiffID, ImageID, chain_id
from imagestore.errors import InvalidImageError
from imagestore.gojson import (
    BOOL,
    INT,
    TEXT,
    TIME,
    FastReader,
    Field,
    GoTime,
    Pointer,
    Slice,
    Struct,
    Text,
    decode_draft,
    encode_members,
)
from imagestore.layer import Link, links

TYPE_LAYERS: Final = "layers"
"""The type of a root filesystem that is a stack of layers (moby's ``TypeLayers``)."""

DOCKER_VERSION: Final = "library-import"
"""The ``docker_version`` of new children: what moby's ``dockerversion.Version`` is in a program that is not the daemon."""

_EMPTY_LAYER: Final = "sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef"
_T = TypeVar("_T")
_set: Final = object.__setattr__


class RootFS(msgspec.Struct, frozen=True):
    """The layers of an image, the lowest first.

    Source: moby's ``image.RootFS``; without arguments, ``NewRootFS``.
    """

    type: str = TYPE_LAYERS
    diff_ids: tuple[DiffID, ...] = ()

    @property
    def chain_id(self) -> ChainID:
        """The chain ID of the topmost layer; empty without layers. Hashes as many times as there are layers."""
        return chain_id(self.diff_ids)

    def append(self, diff_id: str) -> RootFS:
        """The same with one more layer on top."""
        return RootFS(self.type, (*self.diff_ids, DiffID(diff_id)))

    def clone(self) -> RootFS:
        """An equal value."""
        return RootFS(self.type, self.diff_ids)


class History(msgspec.Struct, frozen=True, kw_only=True):
    """One step in the making of an image; with ``empty_layer`` it added no layer.

    Source: moby's ``image.History``.
    """

    created: GoTime = GoTime.ZERO
    author: str = ""
    created_by: str = ""
    comment: str = ""
    empty_layer: bool = False

    @classmethod
    def new(cls, author: str, comment: str, created_by: str, is_empty_layer: bool) -> Self:
        """A step that was made now, in UTC (moby's ``NewHistory``)."""
        return cls(
            created=GoTime.now(), author=author, created_by=created_by, comment=comment, empty_layer=is_empty_layer
        )


class V1Image(msgspec.Struct, frozen=True, kw_only=True):
    """The configuration of an image before content addresses, which `Image` extends; ``size`` is in bytes.

    Source: moby's ``image.V1Image``.
    """

    id: str = ""
    parent: str = ""
    comment: str = ""
    created: GoTime = GoTime.ZERO
    container: str = ""
    container_config: Config = Config()
    docker_version: str = ""
    author: str = ""
    config: Config | None = None
    architecture: str = ""
    variant: str = ""
    os: str = ""
    size: int = 0


class ChildConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What `Image.new_child` needs to know of the child; the rest comes from the parent.

    Source: moby's ``image.ChildConfig``.
    """

    container_id: str = ""
    author: str = ""
    comment: str = ""
    diff_id: str = ""
    container_config: Config = Config()
    config: Config | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.container_config, Config):
            raise TypeError(f"container_config is a Config, not {type(self.container_config).__name__}: use Config()")


class _Parsed(Generic[_T]):
    """An attribute of `Image` that is in the bytes; once touched, it is an ordinary attribute of the instance."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, image: None, owner: type) -> Self: ...
    @overload
    def __get__(self, image: Image, owner: type) -> _T: ...
    def __get__(self, image: Image | None, owner: type) -> Self | _T:
        return self if image is None else image._touch(self._name)


class Image:
    """An image: its configuration, byte for byte, and what that says.

    Images come from `from_json`, from a store, or from `new_child`. Two are equal if their bytes, IDs and parents are. Of an
    image that was stored (`stored`) the first touch of a parsed attribute raises `InvalidImageError` if its bytes are none.

    Attributes:
        raw_json: the bytes; empty for a new child, as long as nothing has stored it (moby's ``RawJSON``).
        image_id: the digest of the bytes; empty for a new child (moby's ``ImageID``).
        parent: the ID of the image that this one was made from: for an image of a store what the store says, whatever it is.
        v1_id: the ID that the configuration itself states, as images before 1.10 do (moby's ``V1Image.ID``).
        created: when it was made.
        container: the ID of the container that it was committed from.
        container_config: what that container was made from.
        config: what a container of this image is made from.
        size: in bytes, if the configuration says so, else 0.
        rootfs: the layers; None only where no `from_json` has checked it.
        history: the steps that made it, those without a layer too.

    Source: moby's ``image.Image``.
    """

    raw_json: bytes
    image_id: ImageID
    parent: ImageID | None
    v1_id = _Parsed[str]()
    comment = _Parsed[str]()
    created = _Parsed[GoTime]()
    container = _Parsed[str]()
    container_config = _Parsed[Config]()
    docker_version = _Parsed[str]()
    author = _Parsed[str]()
    config = _Parsed["Config | None"]()
    architecture = _Parsed[str]()
    variant = _Parsed[str]()
    os = _Parsed[str]()
    size = _Parsed[int]()
    rootfs = _Parsed["RootFS | None"]()
    history = _Parsed["tuple[History, ...]"]()
    os_version = _Parsed[str]()
    os_features = _Parsed["tuple[str, ...]"]()

    def __init__(self) -> None:
        raise TypeError("images are made by Image.from_json, by Image.new_child and by stores")

    @classmethod
    def from_json(cls, data: bytes | bytearray | memoryview) -> Image:
        """The image whose configuration ``data`` is; it is read at once, its ID is the digest, its parent what it states.

        Raises:
            InvalidImageError: Go refuses it too: it is no JSON, a value has the wrong type, or there is no ``rootfs``.

        Source: moby's ``image.NewFromJSON``.
        """
        if not isinstance(data, bytes):
            if not isinstance(data, bytearray | memoryview):
                raise TypeError(
                    f"a configuration is bytes, not {type(data).__name__}: encode it, as its digest is of bytes"
                )
            data = bytes(data)
        image = cls.stored(data, ImageID.from_bytes(data), None)
        fields = image._parse()
        wire = fields.get("_wire")
        rootfs, parent = (wire.rootfs, wire.parent) if wire is not None else (fields["rootfs"], fields["_parent"])
        if not rootfs:
            raise InvalidImageError("invalid image JSON, no RootFS key")
        if parent:
            fields["parent"] = ImageID.stated(parent)
        return image

    @classmethod
    def stored(cls, data: bytes, image_id: ImageID, parent: ImageID | None) -> Image:
        """The image that a store has, from bytes that were checked when they came in; nothing is parsed yet.

        Args:
            data: the configuration.
            image_id: its digest.
            parent: what the store's metadata says, in place of what the configuration states.

        Source: moby's ``store.Get``.
        """
        image = object.__new__(cls)
        # Not through __dict__, which Python makes only where it is asked for: the garbage collection of many images takes half the time.
        _set(image, "raw_json", data)
        _set(image, "image_id", image_id)
        _set(image, "parent", parent)
        return image

    @property
    def id(self) -> ImageID:
        """The same as `image_id` (moby's ``ID``)."""
        return self.image_id

    @property
    def run_config(self) -> Config | None:
        """What a container of this image is made from: `config` (moby's ``RunConfig``)."""
        return self.config

    @property
    def base_img_arch(self) -> str:
        """The architecture; where the configuration has none, this host's in Go's words (moby's ``BaseImgArch``)."""
        return self.architecture or _goarch()

    @property
    def base_img_variant(self) -> str:
        """The variant of the architecture, even if empty (moby's ``BaseImgVariant``)."""
        return self.variant

    @property
    def operating_system(self) -> str:
        """The operating system; where the configuration has none, this host's in Go's words (moby's ``OperatingSystem``)."""
        return self.os or _goos()

    @property
    def chain_id(self) -> ChainID:
        """The chain ID of the topmost layer; empty without layers."""
        return self.rootfs.chain_id if self.rootfs is not None else ChainID("")

    @property
    def stack(self) -> tuple[Link, ...]:
        """The layers' places in the trie, the lowest first; none where it is in no trie: see `imagestore.layer.links`."""
        return links(self.rootfs.diff_ids or ()) if self.rootfs is not None else ()

    def check_history(self) -> None:
        """Check that no more steps have added a layer than there are layers.

        Raises:
            InvalidImageError: there are more.

        Source: moby's ``store.Create``.
        """
        wire = self.__dict__.get("_wire")
        steps, rootfs = (self.history, self.rootfs) if wire is None else (wire.history or (), wire.rootfs)
        layers = (rootfs.diff_ids or ()) if rootfs else ()
        if len([step for step in steps if not step.empty_layer]) > len(layers):
            raise InvalidImageError("too many non-empty layers in History section")

    def to_json(self) -> bytes:
        """The configuration as Go writes it: what is not known is lost, keys are in order, `parent` is the attribute.

        Raises:
            InvalidTimeError: a time in a year outside of 0 to 9999.

        Source: moby's ``Image.MarshalJSON``.
        """
        return encode_members(IMAGE.write_members(self))

    def new_child(self, child: ChildConfig, os: str, *, docker_version: str = DOCKER_VERSION) -> Image:
        """The image that a commit on top of this one makes: one more step of history, and the layer if it is not empty.

        It is in no store and has no ID yet: ``store.create(child.to_json())`` gives it one.

        Args:
            child: what is new. A layer is empty if it is the exact digest of an empty tar.
            os: the child's operating system, whatever the parent's is.
            docker_version: the version of Docker that the child says it was made with.

        Source: moby's ``image.NewChildImage``.
        """
        is_empty_layer = child.diff_id == _EMPTY_LAYER
        rootfs = self.rootfs or RootFS()
        created_by = " ".join(child.container_config.cmd or ())
        step = History.new(child.author, child.comment, created_by, is_empty_layer)
        image = Image.stored(b"", ImageID.stated(""), None)
        image.__dict__.update(
            _ZERO_FIELDS,
            docker_version=docker_version,
            config=child.config,
            architecture=self.base_img_arch,
            variant=self.variant,
            os=os,
            container=child.container_id,
            container_config=child.container_config,
            author=child.author,
            created=step.created,
            rootfs=rootfs if is_empty_layer else rootfs.append(child.diff_id),
            history=(*self.history, step),
            os_version=self.os_version,
            os_features=self.os_features,
        )
        return image

    def _touch(self, name: str) -> Any:
        """Read one attribute. Two threads may do so at once, and find the same."""
        fields = self.__dict__
        wire = fields.get("_wire") or self._parse().get("_wire")
        if wire is not None:
            found = getattr(wire, name)
            fields[name] = _ZERO_FIELDS[name] if found is msgspec.UNSET else IMAGE.fields[name].load(found)
        return fields[name]

    def _parse(self) -> dict[str, Any]:
        """Read the bytes: into ``_wire``, from which `_touch` takes what is asked for, or into all attributes."""
        fields = self.__dict__
        wire = _READER.read(self.raw_json)
        if wire is not None:
            fields["_wire"] = wire
        else:
            parsed = {**_ZERO_FIELDS, **IMAGE.finish_fields(decode_draft(IMAGE, self.raw_json))}
            fields.update(parsed, _parent=parsed.get("parent"), parent=self.parent)
        return fields

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Image):
            return NotImplemented
        if (self.raw_json, self.image_id, self.parent) != (other.raw_json, other.image_id, other.parent):
            return False
        return bool(self.raw_json) or self.to_json() == other.to_json()

    def __hash__(self) -> int:
        return hash((self.image_id, self.parent))

    def __repr__(self) -> str:
        return f"<Image {self.image_id or 'not stored'}>"

    def __reduce__(self) -> tuple[Any, ...]:
        if not self.raw_json:
            raise TypeError("a new child has no bytes yet: store it, and pickle what the store has")
        return Image.stored, (self.raw_json, self.image_id, self.parent)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"an Image is immutable: cannot set {name!r}")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"an Image is immutable: cannot delete {name!r}")


@functools.cache
def _goos() -> str:
    """This host's operating system in Go's words (``runtime.GOOS``)."""
    return {"win32": "windows", "cygwin": "windows"}.get(sys.platform, sys.platform)


@functools.cache
def _goarch() -> str:
    """This host's architecture in Go's words (``runtime.GOARCH``)."""
    machine = platform.machine().lower()
    if machine.startswith(("armv6", "armv7", "armv8l")):
        return "arm"
    return _GOARCHES.get(machine, machine)


_GOARCHES: Final = {
    "x86_64": "amd64",
    "aarch64": "arm64",
    "i386": "386",
    "i686": "386",
    "x86": "386",
    "loongarch64": "loong64",
    "mips64el": "mips64le",
}


def _stated_rootfs(type: str = "", diff_ids: tuple[DiffID, ...] = ()) -> RootFS:
    """A `RootFS` of what a document states, where a missing type is empty."""
    return RootFS(type, diff_ids)


_V1_FIELDS: Final = (
    Field("parent", "parent", TEXT, omitempty=True),
    Field("comment", "comment", TEXT, omitempty=True),
    Field("created", "created", TIME),
    Field("container", "container", TEXT, omitempty=True),
    Field("container_config", "container_config", CONFIG, omitempty=True),
    Field("docker_version", "docker_version", TEXT, omitempty=True),
    Field("author", "author", TEXT, omitempty=True),
    Field("config", "config", Pointer(CONFIG), omitempty=True),
    Field("architecture", "architecture", TEXT, omitempty=True),
    Field("variant", "variant", TEXT, omitempty=True),
    Field("os", "os", TEXT, omitempty=True),
    Field("size", "Size", INT, omitempty=True),
)

V1_IMAGE: Final = Struct(V1Image, Field("id", "id", TEXT, omitempty=True), *_V1_FIELDS, go="image.V1Image")

ROOT_FS: Final = Struct(
    _stated_rootfs,
    Field("type", "type", TEXT),
    Field("diff_ids", "diff_ids", Slice(Text(DiffID, go="layer.DiffID")), omitempty=True),
    go="image.RootFS",
)

HISTORY: Final = Struct(
    History,
    Field("created", "created", TIME),
    Field("author", "author", TEXT, omitempty=True),
    Field("created_by", "created_by", TEXT, omitempty=True),
    Field("comment", "comment", TEXT, omitempty=True),
    Field("empty_layer", "empty_layer", BOOL, omitempty=True),
    go="image.History",
)

IMAGE: Final = Struct(
    Image,
    Field("v1_id", "id", TEXT, omitempty=True),
    *_V1_FIELDS,
    Field("rootfs", "rootfs", Pointer(ROOT_FS), omitempty=True),
    Field("history", "history", Slice(HISTORY), omitempty=True),
    Field("os_version", "os.version", TEXT, omitempty=True),
    Field("os_features", "os.features", Slice(TEXT), omitempty=True),
    go="image.Image",
)

_READER: Final = FastReader(IMAGE)
_ZERO_FIELDS: Final = {name: field.zero() for name, field in IMAGE.fields.items() if name != "parent"}
