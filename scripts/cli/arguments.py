# SPDX-License-Identifier: GPL-3.0-or-later
"""What can be typed: the sub-commands, their options and their manual pages. Knows no engine; standard library only."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ...backends.published.model import ModelDevice, Which
from ...persistence import models_file, state
from .. import shots

VERSION = "0.1.0"
_FARTHEST = 10_000  # metres from the origin; farther out single precision shows

_EXIT = """\
exit codes:
  0    all jobs completed
  1    some jobs failed, were cancelled, or completed with less than was asked for (degraded)
  2    wrong input, or something this machine lacks; nothing was started
  130  interrupted; running work went back to the queue and `resume` goes on with it"""

_MADE = """\
exit codes:
  0    the motion is written
  2    wrong input, or something this machine lacks; nothing is left half written
  130  interrupted"""

_FILES = """\
files:
  .venv/                  made on first use beside this program's folder; delete it to set up afresh
  STATE/                  the queue: journal, snapshots, results on their way, logs
  DIR/LABEL/              per job: motion.bvh, character.fbx, video.mp4, job.json and a log"""

_ENVIRONMENT = """\
environment:
  MOTION_QUEUE_BLENDER    an installed Blender 4.2 or newer to use, as with --blender
  MOTION_QUEUE_STATE      the state folder, as with --state
  MOTION_QUEUE_MODELS     the file of published models, which `mq.py models` writes
  NO_COLOR                no colours"""

_TOP = """\
Motion Queue turns what you say a character does, or motion clips, into retargeted characters (FBX) and rendered
videos (MP4), through a queue that shows how far it is and loses nothing, whatever crashes.

The first command that needs it sets this machine up: it makes .venv, and downloads Blender as a Python
module (about 400 MB) and what goes with it. With --blender an installed Blender is used and none is downloaded."""

_TOP_EXAMPLES = """\
examples:
  python3 scripts/mq.py run "a person walks forward and waves" --out out
  python3 scripts/mq.py generate "runs in a circle, then jumps twice" --out run.bvh
  python3 scripts/mq.py run walk.bvh --out out
  python3 scripts/mq.py run takes/*.bvh --out out --engine cycles --samples 16 --resolution 1280x720
  python3 scripts/mq.py run --jobs shots.json --out out
  python3 scripts/mq.py retarget walk.bvh --character hero.fbx --out hero_walk.fbx
  python3 scripts/mq.py list
  python3 scripts/mq.py test

`mq.py COMMAND --help` describes one command."""


def default_state() -> Path:
    """MOTION_QUEUE_STATE, else the user's state directory."""
    return state.resolve()


def parser() -> argparse.ArgumentParser:
    top = _page("mq.py", _TOP, "\n\n".join((_TOP_EXAMPLES, _EXIT, _FILES, _ENVIRONMENT)))
    top.add_argument("--version", action="version", version=f"Motion Queue {VERSION}")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", title="commands", required=True)
    for add in (
        _add_run,
        _add_generate,
        _add_map,
        _add_retarget,
        _add_models,
        _add_resume,
        _add_list,
        _add_cancel,
        _add_test,
        _add_bench,
        _add_build,
    ):
        add(commands)
    return top


def batch_parser() -> argparse.ArgumentParser:
    """For `blender --background [FILE.blend] --python scripts/batch.py -- …`."""
    text = "Runs a jobs file inside a Blender that runs in the background, through the same queue as `mq.py run --jobs`."
    usage = "blender --background [FILE.blend] --python scripts/batch.py -- JOBS.json --out DIR [options]"
    page = argparse.ArgumentParser(prog="batch.py", description=text, usage=usage, epilog=_EXIT, formatter_class=_Manual)
    page.add_argument("jobs", metavar="JOBS.json", type=Path, help="the jobs file; docs/jobs.schema.json describes it")
    page.set_defaults(clips=[], prompts=None, command="run")
    _add_out(page)
    _add_queue_options(page, blender=True)
    _add_output_options(page)
    return page


class _Manual(argparse.RawDescriptionHelpFormatter):
    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=28, width=100)


def _page(prog: str, description: str, epilog: str) -> argparse.ArgumentParser:
    return argparse.ArgumentParser(prog=prog, description=description, epilog=epilog, formatter_class=_Manual, allow_abbrev=False)


Commands = Any  # argparse has no public name for what add_subparsers returns


def _command(commands: Commands, name: str, summary: str, description: str, epilog: str) -> argparse.ArgumentParser:
    page: argparse.ArgumentParser = commands.add_parser(
        name,
        help=summary,
        description=f"{name} - {summary}\n\n{description}",
        epilog=epilog,
        formatter_class=_Manual,
        allow_abbrev=False,
    )
    return page


def _add_run(commands: Commands) -> None:
    examples = """\
examples:
  mq.py run "a person walks forward and waves" --out out
  mq.py run "runs in a circle" --out out --seconds 6 --variations 3
  mq.py run --prompts shots.txt --out out                one prompt a line
  mq.py run "a person juggles" --model momask --out out  by a published model; see `mq.py models --help`
  mq.py run walk.bvh --out out
  mq.py run walk.bvh jump.bvh --out out --character hero.fbx --engine eevee
  mq.py run walk.bvh --out out --scene set.blend --camera Camera.002 --frames 1-48
  mq.py run walk.bvh --out out --steps retarget          BVH and FBX only
  mq.py run takes/*.bvh --character a.fbx --character b.fbx --steps retarget --out out
  mq.py run --jobs shots.json --out out --json"""
    description = """\
Makes the motion of each prompt, or takes each clip, retargets it onto the character, exports that as FBX and
renders a video. An existing path, or a name that ends in .bvh, is a clip; anything else is a prompt. Words of a
prompt that the motion model does not know are not used, and the job says so; a prompt with nothing usable is refused.

Ctrl-C stops cleanly: running work goes back to the queue, and `resume` goes on with it. A second Ctrl-C stops at
once; even then nothing that was taken into the queue is lost."""
    page = _command(
        commands, "run", "make videos of prompts and clips", description, "\n\n".join((examples, _EXIT, _FILES, _ENVIRONMENT))
    )
    page.add_argument(
        "clips", metavar="PROMPT|CLIP", nargs="*", help="what the character does, in English and in quotes; or a BVH file"
    )
    page.add_argument("--prompts", metavar="FILE", type=Path, help="a text file, one prompt a line; # begins a comment line")
    page.add_argument(
        "--jobs",
        metavar="JOBS.json",
        type=Path,
        help="a list of prompts and clips with options for each; docs/jobs.schema.json describes it",
    )
    _add_out(page)
    motion = page.add_argument_group("the motion of prompts")
    _add_motion_options(motion)
    look = page.add_argument_group("what to make")
    look.add_argument(
        "--character",
        metavar="FILE",
        type=_checked(shots.read_character),
        action="append",
        default=None,
        help="a .blend, .fbx or .glb with one armature (default: the built-in mannequin); given several times, each motion is "
        "put onto each",
    )
    _add_retarget_options(look)
    _option(look, "--scene", "FILE", shots.read_scene, "the .blend to render in (default: a neutral stage)")
    _option(look, "--camera", "NAME", shots.read_name, "the camera in --scene (default: its active one)")
    _option(look, "--engine", "NAME", shots.read_engine, "workbench (default), eevee or cycles")
    _option(look, "--device", "NAME", shots.read_device, "where Cycles computes: auto (default), cpu or gpu")
    _option(look, "--samples", "N", _whole(shots.read_samples), "samples for each pixel, for eevee and cycles")
    _option(look, "--resolution", "WxH", _split("x", shots.read_resolution), "size of the video in pixels (default: 960x540)")
    _option(look, "--fps", "N", _number(shots.read_fps), "frames a second of the video (default: the clip's own)")
    _option(look, "--frames", "A-B", _split("-", shots.read_frames), "first and last frame of the clip to use, counted from 1")
    _option(look, "--steps", "LIST", lambda text: shots.read_steps(text.split(",")), "retarget, render (default: both)")
    _option(look, "--priority", "N", _whole(shots.read_priority), "0 to 100, higher first (default: 50)")
    look.add_argument("--trust-scripts", action="store_true", default=None, help="let scripts and drivers inside --scene run")
    _add_queue_options(page, blender=True)
    _add_output_options(page)


def _add_retarget_options(group: Any) -> None:
    _option(group, "--armature", "NAME", shots.read_name, "the armature to animate, where the file has several")
    _option(group, "--map", "MAP.json", shots.read_map, "which bone is which joint, as `mq.py map` writes it (default: found)")
    group.add_argument(
        "--no-foot-lock", dest="foot_lock", action="store_false", default=None, help="leave feet as the motion has them"
    )
    group.add_argument(
        "--hand-contacts",
        action="store_true",
        default=None,
        help="hands that touch the floor, the body or each other in the motion do so on the character",
    )
    _option(
        group,
        "--travel",
        "WHERE",
        lambda text: shots.read_travel(text.replace("-", "_")),
        "the bone that carries the path: hips (default), root (above them), or in-place for none",
    )


def _add_motion_options(group: Any) -> None:
    _option(group, "--model", "NAME", shots.read_model, "builtin (default), or one that `mq.py models` lists: momask, momask++")
    _option(
        group,
        "--seconds",
        "S",
        _number(shots.read_seconds),
        "length, 1 to 60 (default: what the prompt says, else estimated)",
    )
    _option(group, "--seed", "N", _whole(shots.read_seed), "the same seed makes the same motion (default: 1)")
    _option(
        group, "--variations", "N", _whole(shots.read_variations), "so many motions, with one seed after another (default: 1)"
    )
    _option(
        group,
        "--guidance",
        "N",
        _number(shots.read_guidance),
        "how closely to keep to the words, 0 to 20 (default: 2; published: 4)",
    )
    _option(group, "--speed", "M_PER_S", _number(shots.read_speed), "metres a second over ground (default: as generated)")
    _option(group, "--bend", "DEGREES", _number(shots.read_degrees), "bend the way by so much to the left")
    _option(group, "--heading", "DEGREES", _number(shots.read_degrees), "face so much to the left at the beginning")
    group.add_argument("--loop", action="store_true", default=None, help="make it a seamless loop")
    group.add_argument("--in-place", action="store_true", default=None, help="take the way out of it")
    _option(group, "--weights", "FILE", shots.read_weights, "weights of the motion model (default: the shipped ones)")
    _option(
        group,
        "--model-device",
        "NAME",
        shots.read_model_device,
        "numpy (default), or with torch: cpu or cuda; published: or auto",
    )


def _add_generate(commands: Commands) -> None:
    examples = """\
examples:
  mq.py generate "a person walks forward and waves" --out wave.bvh
  mq.py generate "jumps twice" --seconds 4 --seed 7 --variations 5 --out jump.bvh
  mq.py generate "walks, then juggles" --explain           what is understood of it; makes nothing
  mq.py generate --known                                   what can be asked for
  mq.py generate "runs" --loop --in-place --out run.bvh
  mq.py generate "walks" --path "0,2;2,4" --out way.bvh
  mq.py generate "walks" --end-pose sit.bvh:1 --out to_sit.bvh
  mq.py generate "a person juggles" --model momask --out juggle.bvh"""
    description = """\
Makes the motion of a prompt and writes it as BVH: 22 joints, centimetres, Y up, 30 frames a second. Needs neither
the queue nor Blender. The same prompt, options and seed make the same motion, here and in the queue.

With --model a published model makes it, in the Python that `mq.py models` was told of: MoMask 22 joints and 20 frames
a second, MoMask++ 24 and 30. It takes any words, and neither --bend, --path, poses nor --weights."""
    page = _command(commands, "generate", "make the motion of a prompt, as BVH", description, "\n\n".join((examples, _MADE)))
    page.add_argument("prompt", metavar="PROMPT", nargs="?", help="what the character does, in English and in quotes")
    page.add_argument("--out", metavar="FILE.bvh", type=Path, help="where the motion goes; variations get _01, _02 … before .bvh")
    page.add_argument(
        "--explain", action="store_true", help="say what is understood of the prompt and what not, and make nothing"
    )
    page.add_argument("--known", action="store_true", help="list the actions that can be asked for, with an example each")
    group = page.add_argument_group("the motion")
    _add_motion_options(group)
    _option(group, "--path", "X,Y;X,Y;…", read_path, "go through these points: metres to the left and forward of the start")
    _option(
        group, "--start-pose", "FILE[:FRAME]", read_pose_place, "begin in the pose of a frame (default: the first) of a BVH file"
    )
    _option(group, "--end-pose", "FILE[:FRAME]", read_pose_place, "end in one")
    _option(group, "--fps", "N", _number(shots.read_fps), "frames a second (default: the model's own: 30, MoMask 20)")
    _add_output_options(page)


def _add_map(commands: Commands) -> None:
    epilog = """\
examples:
  mq.py map walk.bvh
  mq.py map hero.blend --armature Hero
  mq.py map hero.fbx --out hero.json                     write the map, to edit it
  mq.py map hero.fbx --map hero.json                     what comes of an edited map

exit codes:
  0    a body was found; with --out, the map is written
  2    wrong input, or the skeleton is no human body; what is missing is named"""
    description = """\
Shows which bone of a clip or character is taken for which joint of a body, how sure that is and how it was found:
by the names of a known family of rigs (preset), by words in names, by shape, or given by --map. A map that is written
can be edited: what is taken out of it is found again, and null leaves a joint out."""
    page = _command(commands, "map", "show which bone is which joint", description, f"{epilog}\n\n{_ENVIRONMENT}")
    page.add_argument("file", metavar="FILE", type=Path, help="a .bvh, or a .blend, .fbx, .glb or .gltf with an armature")
    _option(page, "--armature", "NAME", shots.read_name, "the armature, where the file has several")
    page.add_argument("--map", metavar="MAP.json", type=Path, help="use what this map says, and find the rest")
    page.add_argument("--out", metavar="MAP.json", type=Path, help="write the map")
    page.add_argument("--blender", metavar="PATH", help="an installed Blender 4.2 or newer to read characters with")
    page.add_argument("--json", action="store_true", help="print the map itself, as it would be written")


def _add_retarget(commands: Commands) -> None:
    epilog = """\
examples:
  mq.py retarget walk.bvh --character hero.fbx --out hero_walk.fbx
  mq.py retarget walk.bvh --character hero.blend --armature Hero --travel root --out walk.blend
  mq.py retarget walk.bvh --character hero.fbx --start=-1,2 --heading 90 --out walk.fbx
  mq.py retarget walk.bvh --character hero.fbx --map hero.json --fps 24 --out walk.bvh

exit codes:
  0    the character is written
  2    wrong input, or something this machine lacks; nothing is left half written
  130  interrupted"""
    description = """\
Puts one clip onto one character and writes it: as .fbx or .blend the character with the motion, as .bvh its skeleton
with the motion. The character's own file stays as it is. Needs Blender, but not the queue; many clips or many characters
go through the queue:

  mq.py run takes/*.bvh --character a.fbx --character b.fbx --steps retarget --out DIR"""
    page = _command(commands, "retarget", "put a clip onto a character", description, f"{epilog}\n\n{_ENVIRONMENT}")
    page.add_argument("clips", metavar="CLIP", nargs="+", type=_checked(shots.read_clip), help="a BVH file")
    page.add_argument(
        "--character",
        metavar="FILE",
        type=_checked(shots.read_clip),
        action="append",
        default=None,
        help="a .blend, .fbx, .glb or .gltf with one armature (default: the built-in mannequin)",
    )
    page.add_argument("--out", metavar="FILE", type=Path, required=True, help="where it goes: a .fbx, .blend or .bvh")
    group = page.add_argument_group("how")
    _add_retarget_options(group)
    _option(
        group, "--start", "X,Y", read_place, "begin there, in metres (default: as in the clip); --start=-1,2 for negative ones"
    )
    _option(group, "--heading", "DEGREES", _number(shots.read_degrees), "face so much to the left of -Y at the beginning")
    _option(group, "--fps", "N", _number(shots.read_fps), "frames a second (default: the clip's own)")
    page.add_argument("--blender", metavar="PATH", help="an installed Blender 4.2 or newer to work with")
    _add_output_options(page)


def _add_models(commands: Commands) -> None:
    epilog = """\
examples:
  mq.py models                                             what is set, and what it lacks
  mq.py models set momask --checkout ~/momask-codes --python ~/envs/momask/bin/python
  mq.py models set momask --device cpu --memory 4000       changes these, keeps the rest
  mq.py models set momask++ --text-encoder ""              back to the default
  mq.py models check momask                                has the networks loaded
  mq.py run "a person juggles" --model momask --out out

exit codes:
  0    listed or forgotten; set or checked, and all is there
  1    set or checked, and something is missing, which is named
  2    wrong input; nothing was changed"""
    description = f"""\
Says once where published text-to-motion models are on this machine: MoMask (MIT) and SnapMoGen's MoMask++
(non-commercial research only, which binds what it makes too). Nothing of them comes along, and nothing is
downloaded; docs/published-models.md says where to get what. The settings are in
{_short(models_file.resolve())}."""
    page = _command(commands, "models", "say where published motion models are", description, f"{epilog}\n\n{_ENVIRONMENT}")
    _add_output_options(page)
    actions = page.add_subparsers(dest="action", metavar="ACTION", title="actions (default: list what is set)")
    change = actions.add_parser(
        "set", help="say where one is, or change that", formatter_class=_Manual, allow_abbrev=False, epilog=_ENVIRONMENT
    )
    _add_model_name(change)
    change.add_argument("--checkout", metavar="DIR", help="the folder that its repository was cloned into")
    change.add_argument("--python", metavar="PATH", help="the Python that has torch and what the repository needs")
    change.add_argument(
        "--checkpoints", metavar="DIR", help="the folder with t2m/ or snapmogen/ in it (default: in the checkout)"
    )
    change.add_argument(
        "--text-encoder", metavar="PATH", help="CLIP's ViT-B-32.pt, or the T5 folder (default: where they are kept)"
    )
    change.add_argument("--statistics", metavar="DIR", help="MoMask++: the folder of mean.npy and std.npy")
    change.add_argument("--device", metavar="NAME", choices=[str(d) for d in ModelDevice], help="auto (default), cpu or cuda")
    change.add_argument(
        "--memory", metavar="MB", dest="memory_limit_mb", type=_checked(_megabytes), help="a motion that takes more is stopped"
    )
    for name in ("transformer", "residual", "refinement"):
        change.add_argument(f"--{name}", metavar="NAME", help=f"folder of another {name} checkpoint (default: the published one)")
    _add_output_options(change, of_action=True)
    look = actions.add_parser(
        "check", help="whether they work: has the networks loaded", formatter_class=_Manual, allow_abbrev=False
    )
    look.add_argument("models", metavar="NAME", nargs="*", type=_checked(_model_name), help="which (default: all that are set)")
    _add_output_options(look, of_action=True)
    forget = actions.add_parser("forget", help="forget where one is", formatter_class=_Manual, allow_abbrev=False)
    _add_model_name(forget)
    _add_output_options(forget, of_action=True)


def _add_model_name(page: argparse.ArgumentParser) -> None:
    page.add_argument("model", metavar="NAME", type=_checked(_model_name), help=" or ".join(Which))


def _model_name(text: str) -> str:
    if text not in set(Which):
        raise ValueError(f"must be one of {', '.join(Which)}{shots.meant(text, list(Which))}")
    return text


def _megabytes(text: str) -> float | str:
    """A number for the model's own checks to judge; empty: no limit."""
    if not text:
        return ""
    try:
        return float(text)
    except ValueError:
        raise ValueError("must be a number") from None


def _add_resume(commands: Commands) -> None:
    description = "Goes on with everything in a state folder that is not finished: after Ctrl-C, a crash or a power cut."
    page = _command(commands, "resume", "go on with what is not finished", description, "\n\n".join((_EXIT, _ENVIRONMENT)))
    _add_queue_options(page, blender=True)
    _add_output_options(page)


def _add_list(commands: Commands) -> None:
    description = "Shows the jobs of a state folder, also while another process works on them. Changes nothing."
    page = _command(commands, "list", "show the jobs", description, _ENVIRONMENT)
    _add_queue_options(page, blender=False)
    page.add_argument(
        "--state-is", metavar="STATE", action="append", default=[], help="only jobs in this state (may be repeated)"
    )
    _add_output_options(page)


def _add_cancel(commands: Commands) -> None:
    description = """\
Cancels jobs by id (or its first characters), or all that are not finished. Where another process works on the
state folder, it is asked to, and this command waits for its answer."""
    page = _command(commands, "cancel", "cancel jobs", description, _ENVIRONMENT)
    page.add_argument("ids", metavar="ID", nargs="*", help="a job's id as `list` shows it")
    page.add_argument("--all", action="store_true", help="all jobs that are not finished")
    _add_queue_options(page, blender=False)
    _add_output_options(page)


def _add_test(commands: Commands) -> None:
    description = """\
Runs the tests that this machine can run, and ends with a line that names what did not run and why. With --ci, or
where the variable CI is `true`, a missing Blender is a failure, and every supported Blender is set up first."""
    page = _command(commands, "test", "run the tests", description, _ENVIRONMENT)
    page.add_argument("-k", metavar="EXPRESSION", dest="expression", help="only tests whose names match")
    page.add_argument("--ci", action="store_true", help="all supported Blenders, and nothing may be missing")
    page.add_argument("--blender", metavar="PATH", help="an installed Blender to test with as well")
    page.add_argument("paths", metavar="PATH", nargs="*", help="test files or folders (default: all)")


def _add_bench(commands: Commands) -> None:
    description = "Runs benchmarks: JSON lines on the standard output, a table for people on the standard error."
    page = _command(
        commands, "bench", "run benchmarks", description, "examples:\n  mq.py bench queue bvh\n  mq.py bench crash --kills 1000"
    )
    page.add_argument(
        "arguments", metavar="NAME", nargs=argparse.REMAINDER, help="names of benchmarks, then their options; none: lists them"
    )


def _add_build(commands: Commands) -> None:
    description = """\
Builds the extension's zip, with the bundled wheels, into dist/. An installed Blender builds it where one is
given or found; else the same content is written without one."""
    page = _command(commands, "build", "build the Blender extension", description, _ENVIRONMENT)
    page.add_argument("--blender", metavar="PATH", help="the installed Blender that builds it")
    page.add_argument("--without-blender", action="store_true", help="do not look for a Blender")
    page.add_argument("--out", metavar="DIR", type=Path, default=None, help="where the zip goes (default: dist/)")


def _add_out(page: argparse.ArgumentParser) -> None:
    page.add_argument("--out", metavar="DIR", type=Path, required=True, help="where results go, one folder for each job")


def _add_queue_options(page: argparse.ArgumentParser, *, blender: bool) -> None:
    group = page.add_argument_group("the queue")
    group.add_argument(
        "--state", metavar="DIR", type=Path, default=None, help=f"the state folder (default: {_short(default_state())})"
    )
    if not blender:
        return
    group.add_argument("--torch-python", metavar="PATH", help="a Python with torch, for --model-device cpu and cuda")
    group.add_argument("--blender", metavar="PATH", help="an installed Blender 4.2 or newer to work with")
    group.add_argument(
        "--concurrency", metavar="N", type=_bounded(1, 8), default=None, help="jobs at work at once, 1 to 8 (default: 4)"
    )
    group.add_argument(
        "--memory", metavar="MB", type=_bounded(256, 1 << 24), default=None, help="memory for all running work together"
    )
    group.add_argument(
        "--max-crashes", metavar="N", type=_bounded(0, 1000), default=3, help="a job fails after N crashes; 0: never (default: 3)"
    )


def _add_output_options(page: argparse.ArgumentParser, *, of_action: bool = False) -> None:
    """`of_action`: the page of a command's action, whose command has the option too and says what it is without it."""
    group = page.add_argument_group("output")
    default = argparse.SUPPRESS if of_action else False
    group.add_argument("--json", action="store_true", default=default, help="one JSON object a line")


def _short(path: Path) -> str:
    home = Path.home()
    return f"~/{path.relative_to(home)}" if path.is_relative_to(home) else str(path)


# --- values: the same checks as in a jobs file ---------------------------------------------------------------------------


def _option(group: Any, flag: str, metavar: str, read: Callable[[str], Any], text: str) -> None:
    group.add_argument(flag, metavar=metavar, type=_checked(read), default=None, help=text)


def _checked(read: Callable[[str], Any]) -> Callable[[str], Any]:
    def convert(text: str) -> Any:
        try:
            return read(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"{text!r} {error}") from error

    return convert


def _whole(read: Callable[[object], int]) -> Callable[[str], int]:
    return lambda text: read(_int(text))


def _number(read: Callable[[object], float]) -> Callable[[str], float]:
    def convert(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            raise ValueError("must be a number") from None
        return read(value)

    return convert


def _split(sign: str, read: Callable[[object], tuple[int, int]]) -> Callable[[str], tuple[int, int]]:
    def convert(text: str) -> tuple[int, int]:
        parts = text.lower().split(sign)
        if len(parts) != 2:
            raise ValueError(f"must be two whole numbers with `{sign}` between them")
        return read([_int(part) for part in parts])

    return convert


def _int(text: str) -> int:
    if not text.strip().isdecimal() or len(text) > 20:
        raise ValueError("must be a whole number")
    return int(text)


def _bounded(low: int, high: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        value = _int(text)
        if not low <= value <= high:
            raise ValueError(f"must be between {low:,} and {high:,}")
        return value

    return _checked(read)


def read_pose_place(text: str) -> tuple[Path, int]:
    """`FILE` or `FILE:FRAME`, the frame counted from 1."""
    name, colon, frame = text.rpartition(":")
    if colon and name and frame.isdecimal():
        return shots.read_clip(name), shots.read_frames([_int(frame)] * 2)[0]
    return shots.read_clip(text), 1


def read_path(text: str) -> tuple[tuple[float, float], ...]:
    """Points as `left,forward;left,forward`, in metres."""
    try:
        points = tuple((float(x), float(y)) for x, y in (point.split(",") for point in text.split(";") if point.strip()))
    except ValueError:
        raise ValueError("must be pairs of numbers, such as 0,2;1,4") from None
    return points


def read_place(text: str) -> tuple[float, float]:
    """`X,Y` in metres."""
    parts = text.split(",")
    try:
        x, y = (float(part) for part in parts)
    except ValueError:
        raise ValueError("must be two numbers with a comma between them, such as 1.5,-2") from None
    if not (abs(x) <= _FARTHEST and abs(y) <= _FARTHEST):  # nan is not either
        raise ValueError(f"must be within {_FARTHEST:,} metres")
    return x, y


def unknown_words(words: Sequence[str]) -> list[str]:
    """Of what was given, what is no clip but a prompt: no existing path and no name that ends in .bvh."""
    # Path.exists raises for names that no file system takes, and a prompt may be one.
    return [word for word in words if not word.lower().endswith(".bvh") and not os.path.exists(word)]  # noqa: PTH110
