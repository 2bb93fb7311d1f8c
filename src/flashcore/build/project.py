"""`build`: a source tree to a manifest and one archive per endpoint, kept in the project's build directory."""

from __future__ import annotations

import ast
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import flashcore
from flashcore.build.archive import SUFFIX, ArchiveEntry, BytesEntry, FileEntry, digest_of, write_archive
from flashcore.build.examine import Examination, Examined, examine
from flashcore.build.import_memory import read_memory
from flashcore.build.keep import Kept, write_durably
from flashcore.build.problems import Place, Problem, error_of
from flashcore.build.runtime import runtime_entries
from flashcore.build.syntax import minor_version
from flashcore.build.tree import KEPT_SIZE, SourceFile, SourceTree
from flashcore.canonical import canonical_bytes, digest
from flashcore.hookspecs.handlers import Generated
from flashcore.model.errors import PluginError
from flashcore.model.layout import LOCAL_DIRECTORY
from flashcore.model.manifest import MANIFEST_FILE, EndpointEntry, Manifest, manifest_to_json
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


def build(root: Path, *, app: str, registry: Registry) -> BuildResult:
    """Build the project at `root`. No code of the project is run, and the environment is not read.

    Raises BuildError with everything that is wrong, and where; StorageFull when there is no room, with the last build
    left as it was; PluginError when a plugin that is needed fails.
    """
    local = root.resolve() / LOCAL_DIRECTORY
    memory = read_memory(local / "builds" / "imports.json")
    examination = examine(root, registry, memory)
    handlers = [_generate(endpoint, examination.tree, registry) for endpoint in examination.endpoints]
    kept = Kept(local / "build")
    before, runtime = kept.present(), runtime_entries()
    entries: list[EndpointEntry] = []
    with kept.next_generation() as folder:
        for endpoint, handler in zip(examination.endpoints, handlers, strict=True):
            contents = [*_project_entries(examination.tree, endpoint.files), *runtime, *_handler_entries(handler)]
            entries.append(_entry(endpoint, handler, _archive(folder, before, contents)))
        manifest = registry.amend_manifest(_manifest(app, entries, examination))
        _write(folder, manifest, handlers)
    memory.write(local / "builds" / "imports.json")
    present = kept.present() or kept.link
    artifacts = {entry.artifact: present / f"{entry.artifact}{SUFFIX}" for entry in entries}
    return BuildResult(manifest, artifacts, examination.warnings, kept.link)


def _generate(endpoint: Examined, tree: SourceTree, registry: Registry) -> Generated:
    name = endpoint.resource.defaults.handler
    generated = registry.handler_generators.make(PartRef(name)).generate(endpoint.declaration, endpoint.functions)
    for file in generated.files:
        if file.path in tree.files:
            place = Place(file.path)
            raise error_of([Problem(place, f"the handler of {endpoint.name!r} gets this name", "rename the file")])
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
    """The user's files: small ones as they were when they were scanned, large ones from the disk."""
    return [
        BytesEntry(file.path, tree.read(file.path), executable=file.executable)
        if file.size <= KEPT_SIZE and file.path in tree.files
        else FileEntry(file.path, file.absolute, executable=file.executable)
        for file in files
    ]


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
        file.flush()
        os.fsync(file.fileno())
    draft.rename(folder / f"{written}{SUFFIX}")
    return written


def _taken_over(before: Path, target: Path) -> bool:
    made = before / target.name
    if target.exists() or not made.is_file():
        return target.exists()
    try:
        target.hardlink_to(made)
    except OSError:  # no hard links on this file system
        shutil.copyfile(made, target)
    return True


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


def _manifest(app: str, entries: list[EndpointEntry], examination: Examination) -> Manifest:
    environment = [
        {"variable": one.variable, "default": one.default, "at": str(one.place)} for one in examination.environment
    ]
    return Manifest(
        app=app,
        endpoints=tuple(entries),
        flashcore_version=flashcore.__version__,
        python_version=minor_version(),
        extra={"environment": environment} if environment else {},
    )


def _write(folder: Path, manifest: Manifest, handlers: Iterable[Generated]) -> None:
    for handler in handlers:
        for file in handler.files:
            (folder / file.path).write_text(file.text, encoding="utf-8")  # for people; what runs is in the archive
    write_durably(folder / MANIFEST_FILE, canonical_bytes(manifest_to_json(manifest)) + b"\n")
