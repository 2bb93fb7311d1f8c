"""`build`: a source tree to a manifest and one archive per endpoint, kept in the project's build directory."""

from __future__ import annotations

import ast
import hashlib
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import flashcore
from flashcore.build import last_build
from flashcore.build.archive import SUFFIX, ArchiveEntry, BytesEntry, FileEntry, digest_of, write_archive
from flashcore.build.bundle import Bundles
from flashcore.build.by_running import Running
from flashcore.build.examine import Examination, Examined, require_endpoints, survey
from flashcore.build.keep import Kept
from flashcore.build.key import build_key
from flashcore.build.last_build import LastBuild
from flashcore.build.lock import LOCK_FILE, Lock, read_lock
from flashcore.build.needs import requirements_of
from flashcore.build.options import BuildOptions
from flashcore.build.pause import collector_paused
from flashcore.build.problems import Place, Problems
from flashcore.build.runtime import runtime_entries
from flashcore.build.size import TOO_LARGE, excess
from flashcore.build.syntax import minor_version
from flashcore.build.tree import SourceFile, SourceTree, walk
from flashcore.canonical import digest
from flashcore.hookspecs.handlers import Generated
from flashcore.model.errors import BuildError, PluginError
from flashcore.model.layout import LOCAL_DIRECTORY
from flashcore.model.manifest import MANIFEST_FILE, EndpointEntry, Manifest
from flashcore.model.names import Digest
from flashcore.model.parts import PartRef
from flashcore.registry.registry import Registry


@dataclass(frozen=True, slots=True)
class BuildResult:
    """What was built. `directory` shows the present build; archives keep their place while later ones replace it."""

    manifest: Manifest
    artifacts: Mapping[Digest, Path]
    warnings: tuple[str, ...]
    directory: Path


def build(root: Path, *, app: str, registry: Registry, options: BuildOptions | None = None) -> BuildResult:
    """Build the project at `root`. No code of the project is run unless the options ask for it.

    Raises BuildError with everything that is wrong, and where; StorageFull when there is no room, with the last build
    left as it was; PluginError when a plugin that is needed fails.
    """
    options = options or BuildOptions()
    kept = Kept(root.resolve() / LOCAL_DIRECTORY / "build")
    kept.prepare()
    began, problems = last_build.now(), Problems()
    tree, key = walk(root, problems), build_key(app, registry, options, root)
    last = None if problems or options.run_imports else last_build.recall(kept.memory, key, tree)
    if last is not None and last.generation == kept.present():
        manifest = registry.amend_manifest(last.manifest)
        if last_build.is_unchanged(last, manifest):
            artifacts = last_build.artifacts_in(last.generation, manifest)
            return BuildResult(manifest, artifacts, last.warnings, kept.link)
    with collector_paused():
        plain, result = _build(tree, problems, kept, Order(app, registry, options))
        generation = next(iter(result.artifacts.values())).parent
        seen = LastBuild(plain, result.warnings, generation)
        last_build.remember(kept.memory, key, last_build.View(tree, began), seen, result.manifest)
    return result


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be built with."""

    app: str
    registry: Registry
    options: BuildOptions


def _build(tree: SourceTree, problems: Problems, kept: Kept, order: Order) -> tuple[Manifest, BuildResult]:
    """The manifest as it is before plugins amend it, and all that was made."""
    registry = order.registry
    running = Running(tree.root) if order.options.run_imports else None
    examination = survey(tree, registry, problems, running)
    handlers = [_generate(endpoint, examination.tree, registry, problems) for endpoint in examination.endpoints]
    bundles = Bundles(tree.root / LOCAL_DIRECTORY / "bundles", _lock_of(tree.root, problems), order.options)
    bundle = _only_locked if problems else _bundled
    dependencies = [bundle(bundles, endpoint, registry, problems) for endpoint in examination.endpoints]
    runtime = runtime_entries()
    packed = [
        [*_project_entries(examination.tree, endpoint.files), *runtime, *_handler_entries(handler), *bundled]
        for endpoint, handler, bundled in zip(examination.endpoints, handlers, dependencies, strict=True)
    ]
    for endpoint, contents in zip(examination.endpoints, packed, strict=True):
        if doubt := excess(endpoint.name, contents, order.options.largest):
            problems.add(endpoint.place, doubt, TOO_LARGE)
    require_endpoints(examination, problems)
    before = kept.present()
    entries: list[EndpointEntry] = []
    with kept.next_generation() as folder:
        for endpoint, handler, contents in zip(examination.endpoints, handlers, packed, strict=True):
            entries.append(_entry(endpoint, handler, _archive(folder, before, contents)))
        plain = _manifest(order, entries, examination)
        manifest = registry.amend_manifest(plain)
        _write(folder, manifest, handlers)
    generation = kept.present() or kept.link
    artifacts = last_build.artifacts_in(generation, manifest)
    return plain, BuildResult(manifest, artifacts, _warnings(examination, bundles, order), kept.link)


def _lock_of(root: Path, problems: Problems) -> Lock | None:
    """The project's lock, None where there is none, or none that can be read, which is a problem."""
    try:
        return read_lock(root)
    except BuildError as error:
        problems.add(Place(LOCK_FILE, error.data.get("line", 0)), error.message, error.next_step or "")
        return None


def _bundled(bundles: Bundles, endpoint: Examined, registry: Registry, problems: Problems) -> Sequence[ArchiveEntry]:
    """What is bundled of an endpoint's dependencies."""
    try:
        requirements = requirements_of(endpoint.declaration, endpoint.resource, registry)
        return list(bundles.entries(requirements, _python_of(endpoint)))
    except BuildError as error:
        _add(error, endpoint, problems)
        return ()


def _only_locked(
    bundles: Bundles, endpoint: Examined, registry: Registry, problems: Problems
) -> Sequence[ArchiveEntry]:
    """Nothing, for a build that fails already: no package is fetched for it, and what the lock lacks is said."""
    try:
        requirements = requirements_of(endpoint.declaration, endpoint.resource, registry)
        bundles.require_locked(requirements, _python_of(endpoint))
    except BuildError as error:
        _add(error, endpoint, problems)
    return ()


def _add(error: BuildError, endpoint: Examined, problems: Problems) -> None:
    problems.add(endpoint.place, f"endpoint {endpoint.name!r}: {error.message}", error.next_step or "")


def _python_of(endpoint: Examined) -> str | None:
    return endpoint.declaration.template.python_version


def _warnings(examination: Examination, bundles: Bundles, order: Order) -> tuple[str, ...]:
    return (*examination.warnings, *_of_bundles(examination, bundles, order))


def _of_bundles(examination: Examination, bundles: Bundles, order: Order) -> Iterator[str]:
    options = order.options
    if options.bundle_for is None:
        if options.exclude:
            yield f"nothing is bundled, so {', '.join(options.exclude)} need not be excluded (--platform, --output)"
        return
    if bundles.lock is None:
        yield f"there is no {LOCK_FILE}: another day's build may bundle other versions (flashcore lock)"
    found = {
        name
        for one in examination.endpoints
        for name in bundles.left_out(requirements_of(one.declaration, one.resource, order.registry), _python_of(one))
    }
    for name in sorted(set(options.exclude) - found):
        yield f"no endpoint needs {name}, which is to be excluded: check the name"


def _generate(endpoint: Examined, tree: SourceTree, registry: Registry, problems: Problems) -> Generated:
    name = endpoint.resource.defaults.handler
    generated = registry.handler_generators.make(PartRef(name)).generate(endpoint.declaration, endpoint.functions)
    for file in generated.files:
        if file.path in tree.files:
            problems.add(Place(file.path), f"the handler of {endpoint.name!r} gets this name", "rename the file")
        if file.path.endswith(".py"):
            try:
                ast.parse(file.text)
            except SyntaxError as error:
                raise PluginError(
                    f"the handler generator {name!r} wrote {file.path}, which is no Python: {error}",
                    next_step="flashcore plugins list shows whose it is",
                    part=name,
                ) from error
    return generated


def _project_entries(tree: SourceTree, files: Iterable[SourceFile]) -> list[ArchiveEntry]:
    """The user's files: as they were when they were scanned where that is kept, or else from the disk."""
    return [_project_entry(file, tree.kept(file.path)) for file in files]


def _project_entry(file: SourceFile, content: bytes | None) -> ArchiveEntry:
    if content is not None:
        return BytesEntry(file.path, content, executable=file.executable)
    return FileEntry(file.path, Path(file.location), executable=file.executable)


def _handler_entries(generated: Generated) -> list[ArchiveEntry]:
    return [BytesEntry(file.path, file.text.encode()) for file in generated.files]


def _archive(folder: Path, before: Path | None, contents: Sequence[ArchiveEntry]) -> Digest:
    """Have the archive in `folder`; one that the last build has made is not written again."""
    if before is not None:
        archive = digest_of(contents)
        if _taken_over(before, folder / f"{archive}{SUFFIX}"):
            return archive
    draft = folder / "draft"
    with draft.open("wb") as file:
        written = write_archive(contents, file)
    draft.rename(folder / f"{written}{SUFFIX}")
    return written


def _taken_over(before: Path, target: Path) -> bool:
    made = before / target.name
    if target.exists() or not _is_whole(made):
        return target.exists()
    try:
        target.hardlink_to(made)
    except OSError:  # no hard links on this file system
        shutil.copyfile(made, target)
    return True


def _is_whole(made: Path) -> bool:
    try:
        with made.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == made.name.removesuffix(SUFFIX)
    except FileNotFoundError:
        return False


def _entry(endpoint: Examined, handler: Generated, artifact: Digest) -> EndpointEntry:
    declaration = endpoint.declaration
    return EndpointEntry(
        name=endpoint.name,
        resource=declaration.resource,
        template=declaration.template,
        policy=declaration.policy,
        functions=endpoint.functions,
        handler=handler.entry,
        artifact=artifact,
        template_digest=digest(declaration.template),
        policy_digest=digest(declaration.policy),
        declared_at=f"{endpoint.place.file}:{endpoint.place.line}",
    )


def _manifest(order: Order, entries: list[EndpointEntry], examination: Examination) -> Manifest:
    environment = [
        {"variable": one.variable, "default": one.default, "at": str(one.place)} for one in examination.environment
    ]
    target = order.options.bundle_for
    extra: dict[str, Any] = {"environment": environment} if environment else {}
    if target is not None:
        extra["bundled"] = {"platform": target.platform, "exclude": list(order.options.exclude)}
    return Manifest(
        app=order.app,
        endpoints=tuple(entries),
        flashcore_version=flashcore.__version__,
        python_version=minor_version() if target is None else target.python,
        extra=extra,
    )


def _write(folder: Path, manifest: Manifest, handlers: Iterable[Generated]) -> None:
    for handler in handlers:
        for file in handler.files:
            path = folder / file.path
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(file.text, encoding="utf-8")  # for people; what runs is in the archive
    (folder / MANIFEST_FILE).write_bytes(last_build.manifest_bytes(manifest))
