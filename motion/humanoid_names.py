# SPDX-License-Identifier: GPL-3.0-or-later
"""What bones are called: the naming of known families of rigs, and the words for parts of a body. Knows names only, no tree.

A name becomes lower case, with one kind of separator and without namespace and family prefix, before it is looked up: exporters
change exactly these. Names of bones are facts; they stand here as the families publish them.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

ARM = ("collar", "shoulder", "elbow", "wrist")
LEG = ("hip", "knee", "ankle", "foot")
FINGERS = ("thumb", "index", "middle", "ring", "pinky")
OPTIONAL = ("collar", "wrist", "foot")  # of a family: its rigs come with and without


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """Names of one family of rigs, normalised; `{}` is the side, `|` stands between alternatives, "-" where it has none."""

    name: str
    sides: tuple[str, str]
    arms: str  # collar shoulder elbow wrist
    legs: str  # hip knee ankle foot
    trunk: str  # pelvis, spine …, of which rigs may lack some
    neck: str = "neck"
    head: str = "head"
    marks: tuple[str, ...] = ()  # how raw names begin in this family, where its words alone are not peculiar
    of_prefix: str = ""  # only bones that begin so belong to it: others of the same name are controls


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """What names say: canonical limb joints and head, the trunk from pelvis to chest, the neck; and by which family."""

    preset: str
    joints: Mapping[str, int]
    trunk: tuple[int, ...]
    neck: tuple[int, ...]
    matched: int  # how many bones are called as in the family


_LR, _LEFT = ("l", "r"), ("left", "right")
_SPINES = "spine spine1 spine2 spine3 spine4"
_PRESETS = (
    Preset(
        name="smpl", sides=_LR, arms="{}_collar {}_shoulder {}_elbow {}_wrist", legs="{}_hip {}_knee {}_ankle {}_foot",
        trunk="pelvis spine1 spine2 spine3",
    ),
    Preset(
        name="smplx", sides=_LEFT, arms="{}_collar {}_shoulder {}_elbow {}_wrist", legs="{}_hip {}_knee {}_ankle {}_foot",
        trunk="pelvis spine1 spine2 spine3",
    ),
    Preset(
        name="smpl_mujoco", sides=_LR, arms="{}_thorax {}_shoulder {}_elbow {}_wrist", legs="{}_hip {}_knee {}_ankle {}_toe",
        trunk="pelvis torso spine chest",
    ),
    Preset(
        name="mixamo", sides=_LEFT, arms="{}shoulder {}arm {}forearm {}hand", legs="{}upleg {}leg {}foot {}toebase|{}toe",
        trunk=f"hips lowerback {_SPINES}", neck="neck neck1",
    ),
    Preset(
        name="rokoko", sides=_LEFT, arms="{}shoulder {}arm {}forearm {}hand", legs="{}thigh {}shin {}foot {}toe",
        trunk=f"hips {_SPINES}",
    ),
    Preset(
        name="rigify", sides=_LR, arms="shoulder_{} upper_arm_{} forearm_{} hand_{}", legs="thigh_{} shin_{} foot_{} toe_{}",
        trunk="spine spine_001 spine_002 spine_003", neck="spine_004 spine_005", head="spine_006",
    ),
    Preset(
        name="rigify_deform", sides=_LR, arms="shoulder_{} upper_arm_{} forearm_{} hand_{}",
        legs="thigh_{} shin_{} foot_{} toe_{}",
        trunk="spine spine_001 spine_002 spine_003", neck="spine_004 spine_005", head="spine_006", marks=("def-",),
        of_prefix="def-",
    ),
    Preset(
        name="cgspeed", sides=_LR, arms="{}collar {}shldr {}forearm {}hand", legs="{}thigh {}shin {}foot {}toe",
        trunk="hip abdomen abdomen2 chest",
    ),
    Preset(
        name="daz", sides=_LR, arms="{}collar {}shldrbend {}forearmbend {}hand", legs="{}thighbend {}shin {}foot {}toe",
        trunk="hip abdomenlower abdomenupper chestlower chestupper", neck="necklower neckupper",
    ),
    Preset(
        name="daz9", sides=_LR, arms="{}_shoulder {}_upperarm {}_forearm {}_hand", legs="{}_thigh {}_shin {}_foot {}_toes",
        trunk="hip spine1 spine2 spine3 spine4", neck="neck1 neck2",
    ),
    Preset(
        name="asf", sides=_LR, arms="{}clavicle {}humerus {}radius {}wrist", legs="{}femur {}tibia {}foot {}toes",
        trunk="root|hips lowerback upperback thorax", neck="lowerneck upperneck",
    ),
    Preset(
        name="cc_base", sides=_LR, arms="{}_clavicle {}_upperarm {}_forearm {}_hand", legs="{}_thigh {}_calf {}_foot {}_toebase",
        trunk="hip waist spine01 spine02", neck="necktwist01 necktwist02",
    ),
    Preset(
        name="biped", sides=_LR, arms="{}_clavicle {}_upperarm {}_forearm {}_hand", legs="{}_thigh {}_calf {}_foot {}_toe0",
        trunk=f"pelvis {_SPINES}", neck="neck neck1", head="head|head1", marks=("bip0", "bip_", "bip ", "valvebiped"),
    ),
    Preset(
        name="unreal", sides=_LR, arms="clavicle_{} upperarm_{} lowerarm_{} hand_{}", legs="thigh_{} calf_{} foot_{} ball_{}",
        trunk="pelvis spine_01 spine_02 spine_03 spine_04 spine_05", neck="neck_01 neck_02",
    ),
    Preset(
        name="vrm", sides=_LR, arms="{}_shoulder {}_upperarm {}_lowerarm {}_hand",
        legs="{}_upperleg {}_lowerleg {}_foot {}_toebase",
        trunk="c_hips c_spine c_chest c_upperchest", neck="c_neck", head="c_head", marks=("j_bip_",),
    ),
    Preset(
        name="unity", sides=_LEFT, arms="{}shoulder {}upperarm {}lowerarm {}hand",
        legs="{}upperleg {}lowerleg {}foot {}toes|{}toe",
        trunk="hips spine chest upperchest",
    ),
    Preset(
        name="kaykit", sides=_LR, arms="- upperarm_{} lowerarm_{} wrist_{}", legs="upperleg_{} lowerleg_{} foot_{} toes_{}",
        trunk="hips spine chest",
    ),
    Preset(
        name="bandai_namco", sides=_LR, arms="shoulder_{} upperarm_{} lowerarm_{} hand_{}",
        legs="upperleg_{} lowerleg_{} foot_{} toes_{}", trunk="hips spine chest",
    ),
    Preset(
        name="quaternius", sides=_LR, arms="shoulder_{} upperarm_{} lowerarm_{} hand_{}",
        legs="upperleg_{} lowerleg_{} foot_{} -",
        trunk="hips abdomen torso chest",
    ),
    Preset(
        name="makehuman", sides=_LR, arms="clavicle_{} upperarm01_{} lowerarm01_{} wrist_{}",
        legs="upperleg01_{} lowerleg01_{} foot_{} -", trunk="root spine05 spine04 spine03 spine02 spine01",
        neck="neck01 neck02 neck03",
    ),
    Preset(
        name="autorig_pro", sides=_LR, arms="shoulder_{} arm_stretch_{} forearm_stretch_{} hand_{}",
        legs="thigh_stretch_{} leg_stretch_{} foot_{} toes_01_{}", trunk="root_x spine_01_x spine_02_x spine_03_x",
        neck="neck_x", head="head_x",
    ),
    Preset(
        name="xsens", sides=_LEFT, arms="{}collar {}shoulder {}elbow {}wrist", legs="{}hip {}knee {}ankle {}toe",
        trunk="hips chest chest2 chest3 chest4",
    ),
    Preset(
        name="advanced_skeleton", sides=_LR, arms="scapula_{} shoulder_{} elbow_{} wrist_{}",
        legs="hip_{} knee_{} ankle_{} toes_{}",
        trunk="root_m spine1_m spine2_m chest_m", neck="neck_m", head="head_m",
    ),
)  # fmt: skip

_NAMESPACE = re.compile(r"^.*[:|]")
_FAMILY = re.compile(
    r"^(?:mixamorig\d*_?|robot_|cc_base_|rl_|valvebiped\.|bip\d*[_ ]|j_bip_(?=[lrc]_)|[mf]_avg_|smplx?[_-]|def-|org-|mch-)+",
    re.IGNORECASE,
)
_SEPARATORS = re.compile(r"[\s._\-]+")


@functools.lru_cache(maxsize=8192)
def plain(name: str) -> str:
    """A name as the table of families has it."""
    return _SEPARATORS.sub("_", _FAMILY.sub("", _NAMESPACE.sub("", name))).strip("_").casefold()


def by_preset(names: Sequence[str]) -> Named | None:
    """The family that most bones are called after, if one has all of a body's parts."""
    index: dict[str, int] = {}
    for i, name in enumerate(names):
        index.setdefault(plain(name), i)
    found = [match for preset in _PRESETS if (match := _match(preset, names, index)) is not None]
    return max(found, key=lambda match: match.matched, default=None)


def _match(preset: Preset, names: Sequence[str], index: Mapping[str, int]) -> Named | None:
    if preset.marks:
        marked = [i for i, n in enumerate(names) if _NAMESPACE.sub("", n).casefold().startswith(preset.marks)]
        if len(marked) < 10:
            return None
        if preset.of_prefix:
            index = {plain(names[i]): i for i in reversed(marked)}

    def look(options: str) -> int | None:
        return next((index[option] for option in options.split("|") if option in index), None)

    joints: dict[str, int] = {}
    head = look(preset.head)
    if head is None:
        return None
    joints["head"] = head
    for side, word in zip("lr", preset.sides, strict=True):
        for part, options in zip((*ARM, *LEG), f"{preset.arms} {preset.legs}".split(), strict=True):
            joint = look(options.replace("{}", word))
            if joint is not None:
                joints[f"{side}_{part}"] = joint
            elif part not in OPTIONAL:
                return None
    trunk = tuple(j for options in preset.trunk.split() if (j := look(options)) is not None)
    neck = tuple(j for options in preset.neck.split() if (j := look(options)) is not None)
    # A family that is known by how its names begin is surer than one with the same words.
    return Named(
        preset=preset.name, joints=joints, trunk=trunk, neck=neck,
        matched=len(joints) + len(trunk) + len(neck) + 3 * bool(preset.marks),
    )  # fmt: skip


# The 24 joints of SMPL by number, as files without names have them; HumanML3D has the first 22.
_SMPL_PARENTS = (-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 20, 21)
_SMPL_LIMBS = (
    "l_hip", "r_hip", "spine1", "l_knee", "r_knee", "spine2", "l_ankle", "r_ankle", "spine3", "l_foot", "r_foot", "neck",
    "l_collar", "r_collar", "head", "l_shoulder", "r_shoulder", "l_elbow", "r_elbow", "l_wrist", "r_wrist",
)  # fmt: skip


def by_number(names: Sequence[str], parents: Sequence[int]) -> Named | None:
    """SMPL's joints called by their numbers ("0", "joint_7", "J12"), hung together as they do."""
    if not 22 <= len(names) <= 24:
        return None
    numbers = [re.findall(r"\d+", name) for name in names]
    if any(len(found) != 1 for found in numbers):
        return None
    order = [int(found[0]) for found in numbers]
    if sorted(order) != list(range(len(names))):
        return None
    at = {number: i for i, number in enumerate(order)}
    if any((order[parents[at[n]]] if parents[at[n]] >= 0 else -1) != _SMPL_PARENTS[n] for n in range(len(names))):
        return None
    slots = {slot: at[n] for n, slot in enumerate(_SMPL_LIMBS, start=1)}
    trunk = (at[0], *(slots.pop(f"spine{i}") for i in (1, 2, 3)))
    return Named(preset="smpl", joints=slots, trunk=trunk, neck=(slots.pop("neck"),), matched=len(names))


# Words

_WORDS: dict[str, tuple[str, ...]] = {  # surest first; one that names two parts goes to the part that has no surer one
    "shoulder": ("upperarm", "uparm", "humerus", "bicep", "shldrbend", "armstretch", "arm", "shoulder", "shldr"),
    "collar": ("clavicle", "clav", "collar", "collarbone", "scapula", "thorax", "shoulder", "shldr"),
    "elbow": ("forearm", "lowerarm", "lowarm", "loarm", "elbow", "radius", "forearmbend", "forearmstretch"),
    "wrist": ("wrist", "hand", "palm"),
    "hip": ("thigh", "upleg", "upperleg", "femur", "thighbend", "thighstretch", "hip", "leg"),
    "knee": ("calf", "shin", "lowerleg", "lowleg", "loleg", "knee", "tibia", "foreleg", "legstretch", "leg"),
    "ankle": ("ankle", "foot", "feet"),
    "foot": ("toe", "toes", "toebase", "ball", "foot"),
}  # fmt: skip
_ORDER = ("elbow", "shoulder", "collar", "wrist", "knee", "hip", "ankle", "foot")  # in which parts choose their words
_SWAPPED = {f"{part}{where}": f"{where}{part}" for part in ("arm", "leg") for where in ("upper", "up", "lower", "low", "fore")}
_HEAD = ("head", "skull")
_KNOWN = {word for options in (*_WORDS.values(), _HEAD) for word in options} | _SWAPPED.keys()
_SIDES = {"l": "l", "left": "l", "lft": "l", "lf": "l", "lt": "l", "r": "r", "right": "r", "rgt": "r", "rght": "r", "rt": "r"}
_NOISE = {
    "mixamorig", "cc", "base", "def", "org", "bip", "biped", "bone", "jnt", "joint", "jt", "j", "b", "m", "f", "c", "x", "avg",
    "character", "rig", "skin", "bind", "sk", "skel", "armature", "deform", "bn", "valve", "smpl", "smplx",
}  # fmt: skip
# Bones beside the body: helpers, controls, clothes, things held. A name with such a word is no joint of the body.
_EXTRA = {
    "twist", "roll", "ik", "fk", "pole", "target", "tgt", "goal", "end", "nub", "leaf", "site", "tip", "ctrl", "control", "ctl",
    "mch", "share", "helper", "corrective", "socket", "weapon", "prop", "attach", "hair", "skirt", "cloth", "cape", "coat",
    "tail", "wing", "feather", "breast", "bust", "pec", "boob", "eye", "brow", "jaw", "tongue", "teeth", "lip", "cheek", "ear",
    "nose", "mouth", "face", "facial", "metacarpal", "metatarsal", "tweak", "vis", "muscle", "bulge", "fix", "adjust", "phys",
    "spring", "collider", "strap", "armor", "armour", "belt", "pouch", "hold", "grip", "dummy", "thumb", "index", "middle",
    "mid", "ring", "pinky", "pinkie", "little", "finger", "fingers", "digit", "hoof", "paw", "fin", "heel", "swing", "parent",
    "drv", "sleeve", "horn", "mane", "gun",
}  # fmt: skip
_HELD = {"sword", "shield", "bow", "bag", "hat", "helmet", "glasses"}
_TWIST = ("twist", "roll")  # ends of words
_SHARE = {"share", "helper", "corrective", "fix", "muscle", "bulge", "adjust"}
_TOKENS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """One name, read."""

    side: str  # "l", "r" or ""
    part: str  # what is left, joined: "upperarm"
    numbers: tuple[int, ...]
    tokens: frozenset[str]

    @property
    def extra(self) -> bool:
        """Whether the name says that it is no joint of the body."""
        return bool(self.tokens & _EXTRA or self.tokens & _HELD)

    @property
    def twist(self) -> bool:
        return any(token.endswith(_TWIST) for token in self.tokens)

    @property
    def share(self) -> bool:
        return bool(self.tokens & _SHARE)


@functools.lru_cache(maxsize=8192)
def read(name: str) -> Words:
    """The side and the words of a name: "mixamorig:LeftForeArm", "fore_arm.L.001", "lftForearm" → l, forearm."""
    side, words, numbers = "", [], []
    tokens = [t.casefold() for t in _TOKENS.findall(_FAMILY.sub("", _NAMESPACE.sub("", name)))]
    for token in tokens:
        if token.isdigit():
            numbers.append(int(token[:6]))
        elif token in _SIDES and not side:
            side = _SIDES[token]
        elif token not in _NOISE:
            words.append(token)
    part = "".join(words)
    if not side and part not in _KNOWN:
        for mark in sorted(_SIDES, key=len, reverse=True):  # "leftfoot", "lthigh", "upperarml"
            for rest in (part.removeprefix(mark), part.removesuffix(mark)):
                if rest != part and rest in _KNOWN:
                    return Words(
                        side=_SIDES[mark], part=_SWAPPED.get(rest, rest), numbers=tuple(numbers), tokens=frozenset((rest,))
                    )
    return Words(side=side, part=_SWAPPED.get(part, part), numbers=tuple(numbers), tokens=frozenset(words))


def by_words(names: Sequence[str]) -> dict[str, list[int]]:
    """Canonical limb joints and head → the bones that may be it by their words, likeliest first."""
    index: dict[tuple[str, str], list[int]] = {}
    for i, name in enumerate(names):
        words = read(name)
        if not words.extra:
            index.setdefault((words.side, words.part), []).append(i)
    for found in index.values():
        found.sort(key=lambda i: (read(names[i]).numbers, i))
    out: dict[str, list[int]] = {}
    for side in "lr":
        taken: set[str] = set()
        for part in _ORDER:
            for word in _WORDS[part]:
                if word not in taken and (side, word) in index:
                    out[f"{side}_{part}"] = index[side, word]
                    taken.add(word)
                    break
    for word in _HEAD:
        if ("", word) in index:
            out["head"] = index["", word]
            break
    return out


def contradicts(name: str, part: str) -> bool:
    """Whether a name says plainly that a bone is something other than `part` ("shoulder", "hip" …): wings are no arms."""
    words = read(name)
    tokens = words.tokens | {words.part}
    leg = {"thigh", "shin", "calf", "leg", "upleg", "upperleg", "lowerleg", "knee", "foot", "toe", "toes", "ankle", "hoof", "paw"}
    arm = {"arm", "upperarm", "forearm", "lowerarm", "elbow", "hand", "wrist", "shldr", "clavicle"}
    none = {"wing", "feather", "tail", "fin", "hair", "skirt", "ear", "finger", "front", "hind", "mane", "antenna", "tentacle"}
    if tokens & none:
        return True
    return bool(tokens & (leg if part in ARM else arm))


def side_of(name: str) -> str:
    return read(name).side


_PELVIS = {"pelvis", "hips", "hip", "cog"}
_ROOT = {
    "root",
    "armature",
    "master",
    "ground",
    "origin",
    "reference",
    "boneroot",
    "rootbone",
    "characterarmature",
    "scene",
    "global",
    "world",
}


def is_pelvis(name: str) -> bool:
    return bool((read(name).tokens | {read(name).part, plain(name)}) & _PELVIS)


def is_root(name: str) -> bool:
    return bool((read(name).tokens | {read(name).part, plain(name)}) & _ROOT)


_FINGER_WORDS = {
    "thumb": ("thumb",), "index": ("index", "indexfinger", "pointer", "point"), "middle": ("middle", "mid", "middlefinger"),
    "ring": ("ring", "ringfinger"), "pinky": ("pinky", "pinkie", "little", "pinkyfinger", "littlefinger", "small"),
}  # fmt: skip
_PALM = {"metacarpal", "palm", "carpal", "inhand", "in"}
_END = {"end", "nub", "tip", "leaf", "site"}


def finger_of(name: str, family: str) -> str:
    """Which finger a bone under a hand belongs to by its name; "" when it does not say, "-" when it is in the palm."""
    words = read(name)
    if words.tokens & _PALM or words.part in _PALM:
        return "-"
    if words.tokens & {"toe", "toes"}:
        return ""
    for finger, options in _FINGER_WORDS.items():
        if any(option in words.tokens or words.part.endswith(option) for option in options):
            return finger
    if words.numbers and words.tokens & {"finger", "digit"}:
        # Biped counts Finger0, Finger01, Finger02 for the thumb: the first digit; others count from one.
        text = re.search(r"(?:finger|digit)[_ .]?(\d+)", name, re.IGNORECASE)
        first = int(text[1][0]) if text else words.numbers[0]
        first = first if family == "biped" else first - 1
        if 0 <= first < len(FINGERS):
            return FINGERS[first]
    return ""


def is_end(name: str) -> bool:
    return bool(read(name).tokens & _END)


def is_facial(name: str) -> bool:
    return bool(read(name).tokens & {"eye", "nose", "jaw", "mouth", "lip", "tongue", "teeth", "chin", "face", "beak"})
