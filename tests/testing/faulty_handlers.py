"""Handler generators: one without a fault, for a framework of its own, and one for each fault that there can be."""

import itertools
import json
import os
from pathlib import Path, PurePosixPath

from flashcore.hookspecs.handlers import Generated, GeneratedFile
from flashcore.model.declaration import Declaration
from flashcore.model.manifest import FunctionEntry

COUNTER = itertools.count()

CODE = """
import sys
from pathlib import Path

sys.path.insert(1, str(Path(__file__).resolve().parent / "dependencies"))

from flashcore.worker.load import load_module

ROOT = Path(__file__).resolve().parent
WHERE = {where}
sys.path.extend(str((ROOT / module).parent) for module in WHERE.values())


def handler(job):
    name, numbers = job["input"]
    return getattr(load_module(ROOT, WHERE[name]), name)(*numbers)
"""


class Sound:
    """Jobs are a name and numbers: nothing of flashcore's own form of calls is in them."""

    def generate(self, declaration: Declaration, functions: tuple[FunctionEntry, ...]) -> Generated:
        """One file of code, and one with what it needs."""
        entry = f"{self.stem(declaration)}.py"
        files = GeneratedFile(entry, self.code(declaration, functions)), self.beside(entry)
        return Generated(files, entry)

    def stem(self, declaration: Declaration) -> str:
        """A module's name that no other endpoint has."""
        return f"handler_{declaration.name.replace('-', '_')}"

    def code(self, declaration: Declaration, functions: tuple[FunctionEntry, ...]) -> str:
        """The entry's text."""
        where = {entry.name: entry.module for entry in functions}
        return CODE.format(where=json.dumps(where))

    def beside(self, entry: str) -> GeneratedFile:
        """What providers install."""
        path = PurePosixPath(entry).with_suffix(".json").as_posix()
        return GeneratedFile(path, json.dumps({"requirements": self.requirements()}))

    def requirements(self) -> tuple[str, ...]:
        """For the sake of the example."""
        return ("packaging>=24",)


class TakesAnyName(Sound):
    """Its files may be the project's."""

    def stem(self, declaration: Declaration) -> str:
        """Nothing in front."""
        return declaration.name.replace("-", "_")


class LeavesTheArtifact(Sound):
    """Its files are beside the artifact."""

    def stem(self, declaration: Declaration) -> str:
        """Two folders further up."""
        return f"handler_/../../{declaration.name}"


class WritesTwice(Sound):
    """The second file takes the place of the first."""

    def beside(self, entry: str) -> GeneratedFile:
        """Under the entry's path."""
        return GeneratedFile(entry, "")


class NamesAnotherEntry(Sound):
    """The replica would find nothing."""

    def generate(self, declaration: Declaration, functions: tuple[FunctionEntry, ...]) -> Generated:
        """An entry that was never written."""
        return Generated(super().generate(declaration, functions).files, "handler_main.py")


class HasItsEntryInAFolder(Sound):
    """From there the project could not be imported."""

    def stem(self, declaration: Declaration) -> str:
        """A folder for each endpoint."""
        return f"handler_{declaration.name}/main"


class ForgetsHyphens(Sound):
    """a-b and ab are one."""

    def stem(self, declaration: Declaration) -> str:
        """Without them."""
        return f"handler_{declaration.name.replace('-', '')}"


class PastesIntoCode(Sound):
    """Quotes in a path end the string."""

    def code(self, declaration: Declaration, functions: tuple[FunctionEntry, ...]) -> str:
        """Quoted by hand."""
        where = ", ".join(f'"{entry.name}": "{entry.module}"' for entry in functions)
        return CODE.format(where=f"{{{where}}}")


class NeedsALaterPython(Sound):
    """Replicas may have an older one than the build."""

    def code(self, declaration: Declaration, functions: tuple[FunctionEntry, ...]) -> str:
        """A statement that came with 3.12."""
        return f"{super().code(declaration, functions)}\ntype Numbers = list[int]\n"


class Counts(Sound):
    """Says how often it has generated."""

    def code(self, declaration: Declaration, functions: tuple[FunctionEntry, ...]) -> str:
        """One more each time."""
        return f"{super().code(declaration, functions)}\n# {next(COUNTER)}\n"


class KeepsTheOrderOfASet(Sound):
    """Which is another in each process."""

    def code(self, declaration: Declaration, functions: tuple[FunctionEntry, ...]) -> str:
        """All words that it knows."""
        words = {word for entry in functions for word in (entry.name, entry.module, entry.qualified_name, *"abcdefgh")}
        return f"{super().code(declaration, functions)}\nWORDS = {list(words)!r}\n"


class SaysWhoBuilt(Sound):
    """And where."""

    def code(self, declaration: Declaration, functions: tuple[FunctionEntry, ...]) -> str:
        """The user and the folder of the build."""
        return f"{super().code(declaration, functions)}\n# {os.environ.get('USER')} {Path.cwd()}\n"


class WritesThePolicyDown(Sound):
    """A longer time to run would be another revision."""

    def code(self, declaration: Declaration, functions: tuple[FunctionEntry, ...]) -> str:
        """How long a call may run."""
        return f"{super().code(declaration, functions)}\nTIMEOUT = {declaration.policy.execution_timeout}\n"


class ImportsTheBuildSide(Sound):
    """An artifact has no plugins and no contracts of theirs."""

    def code(self, declaration: Declaration, functions: tuple[FunctionEntry, ...]) -> str:
        """A room that stays at home."""
        return f"import flashcore.hookspecs.handlers\n{super().code(declaration, functions)}"


class ImportsWhatItHappensToHave(Sound):
    """pytest is installed where this is tested."""

    def code(self, declaration: Declaration, functions: tuple[FunctionEntry, ...]) -> str:
        """Within a function, where it only fails when it is called."""
        return f"{super().code(declaration, functions)}\ndef check():\n    import pytest\n"


class RequiresNonsense(Sound):
    """No installer can read it."""

    def requirements(self) -> tuple[str, ...]:
        """Words."""
        return ("the newest starlette",)


class TellsNobodyWhatItNeeds(Sound):
    """Providers would install nothing."""

    def beside(self, entry: str) -> GeneratedFile:
        """Without the requirements."""
        return GeneratedFile(PurePosixPath(entry).with_suffix(".json").as_posix(), "{}")


class OffersNothing(Sound):
    """A replica would find no service in it."""

    def code(self, declaration: Declaration, functions: tuple[FunctionEntry, ...]) -> str:
        """Under another name."""
        return super().code(declaration, functions).replace("def handler", "def main")


class StartsAThread(Sound):
    """Its process cannot be forked any more."""

    def code(self, declaration: Declaration, functions: tuple[FunctionEntry, ...]) -> str:
        """One that waits until the process ends."""
        waiting = "import threading\nthreading.Thread(target=threading.Event().wait, daemon=True).start()\n"
        return f"{super().code(declaration, functions)}\n{waiting}"


class HidesWhatWasBundled(Sound):
    """The project cannot import what the artifact brings along."""

    def code(self, declaration: Declaration, functions: tuple[FunctionEntry, ...]) -> str:
        """Without the folder of dependencies."""
        return super().code(declaration, functions).replace("sys.path.insert", "print")


class AnswersWrong(Sound):
    """It serves, but not what was declared."""

    def code(self, declaration: Declaration, functions: tuple[FunctionEntry, ...]) -> str:
        """Always the same."""
        return f"{super().code(declaration, functions)}\ndef handler(job):\n    return 0\n"


class HidesNeighbours(Sound):
    """A file cannot import what is beside it."""

    def code(self, declaration: Declaration, functions: tuple[FunctionEntry, ...]) -> str:
        """Without the folders of the functions' files."""
        return super().code(declaration, functions).replace("sys.path.extend", "print")
