"""Assemble the verbs into one command and turn every failure into one line and an exit code.

Exit codes: 0 done, 1 a run failed, 2 wrong input, 130 interrupted, 143 terminated (everything so far is kept).
"""

import errno
import keyword
import sys
import traceback
from importlib import import_module

import typer

from laimbench import __version__
from laimbench.errors import LaimbenchError

INTERRUPTED = 130

# Each verb is a module laimbench.cli.<verb> with a function of the same name (a command) or a
# typer.Typer called `app` (a verb with sub-verbs). Where the verb is a word of Python's own, both names end in an
# underscore; a dash in a verb is an underscore in both. The order is the order of `laimbench --help`.
VERBS = ("demo", "doctor", "bench", "train", "sweep", "watch", "runs", "fit", "plan", "eval", "generate", "classify",
         "translate", "transcribe", "serve", "export", "import", "audit", "track", "init-tracking", "history", "report",
         "dashboard")  # fmt: skip


def build_app() -> typer.Typer:
    app = typer.Typer(
        name="laimbench",
        help="Benchmark kernels and training of large AI models: speed, learning, and what both are worth.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )

    @app.callback(invoke_without_command=True)
    def root(version: bool = typer.Option(False, "--version", help="Print the version.")) -> None:
        if version:
            typer.echo(__version__)
            raise typer.Exit

    for verb in VERBS:
        name = f"{verb}_" if keyword.iskeyword(verb) else verb.replace("-", "_")
        module = import_module(f"laimbench.cli.{name}")
        if hasattr(module, "app"):
            app.add_typer(module.app, name=verb)
        else:
            app.command(name=verb)(getattr(module, name))
    return app


def main(argv: list[str] | None = None) -> int:
    """Run the command line; return its exit code. ``--debug`` anywhere shows tracebacks."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in arguments
    arguments = [a for a in arguments if a != "--debug"]
    try:
        result = build_app()(args=arguments, prog_name="laimbench", standalone_mode=False)
        code = result if isinstance(result, int) else 0
    except typer.Exit as error:
        code = error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except typer.exceptions.TyperException as error:
        return fail(error.format_message(), 2)
    except LaimbenchError as error:
        if debug:
            traceback.print_exc()
        return fail(str(error), error.exit_code)
    except ModuleNotFoundError as error:
        if debug:
            raise
        return fail(f"the Python package {error.name} is not installed; `laimbench doctor` says what is missing", 1)
    except OSError as error:
        if debug or error.errno not in (errno.ENOSPC, errno.EACCES, errno.EROFS, errno.ENOENT, errno.EISDIR):
            raise
        return fail(f"{error.filename or 'file'}: {error.strerror}", 1 if error.errno == errno.ENOSPC else 2)
    # Typer turns Ctrl-C into the code, so it is told here, whoever noticed it first.
    return fail("interrupted; everything finished so far is kept", code) if code == INTERRUPTED else code


def fail(message: str, code: int) -> int:
    sys.stderr.write("error: " + " ".join(message.split()) + "\n")
    return code
