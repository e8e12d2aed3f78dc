# SPDX-License-Identifier: GPL-3.0-or-later
"""Slips of the keyboard: the one listed word that a word nobody knows was probably meant to be.

Corrects little, because a wrong correction is a confident wrong reading: only words of four letters and more, one slip, the first
letter right, one meaning, and never a word that English has.
"""

from __future__ import annotations

from . import lexicon
from .words import base_form, listed_words, meaning, normalise

_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_SHORTEST = 4
_LONGEST = 16
_JOINTS = frozenset(("then", "while", "after", "before", "second", "seconds", "times", "twice", "degrees", "metres", "steps"))

# Words that are one letter away from a known one and mean something else.
_ENGLISH = lexicon.words_of(
    """
    aims backwater bake band bands bang bangs bark barks bawl beam beat bell bending bent bike bite blend boat boating bode
    boss bounds bower bowl bowls boxers brawl breach bread break brick bride bring bringing broad brow brown brush bump
    bumping bumps bunch bunching burn bush camp camping cane care cares carry cart case catch chain chair chairs chant chap
    chase chat cheat check cheek chew chips choir chomp choose chore chose chosen clam clamp clap claps clash class clay
    cleaver click cliff climbed clime clinch cling clinging clinks clips clock close cloud clown coach coast cough count cower
    crack craft cramp crank crash crate crave craw crawfish crayon cream crew cries croak cross crouched crowding crowing
    crown cruise crush curl curls curse curves dance dare dart deal deep dial dice dine dishes dock dome door dope dose down
    drag drain draw drawing drawl dream dress drift drill drip drop drown drowning drum duel dumping dunk dust fail faint fair
    fake fall fan farm fast fast-forward fear feed feel feeling feels fence fending fight file fill film find fine finger fire
    fish fist fits five fix flag flail flap flash flat flex flick flies flight fling flinging flint flirt float flock floor
    flow fly fold food fool force forge fork form forwarded found fountain frame freeze fresh fret frown gaze glance glide
    glow golf grab grace grade grand grape grasp graze great green grin grind grip groan ground grove grow growing growl guide
    hail halt hand hang hanging harm hats haul head heading heal heaping hear heat held hello help hide hike hiking hill hint
    hire hit hold hole holy home hook hoop hope hopes hops horse hose host hover howl huge hugs humping hunch hunching hunt
    hurl hurt hush inch jack jail jams jaw jogger joke juggle juggles jumble jump jumper jumpy just keel keen kernel keys
    kicker kill kills king kiss kisses kite knead kneading knee knell knife knit knits knob knock knocks knot lace lady lake
    lamp landing lane laps large laugh laughs launch launching lay lead leading leads leaf leak lean leap leaping learn leave
    leaves left lefty legs lend lending lick licks life lift light like lime limp limping limps line link linking lion lips
    list live load loan lock log look looks loom loop lose love low luck lump lunch lunching lunge march mark mask mast match
    mate mean meet melt mending mime mine miss mist moan mock mood moon mope more mount mouse mouth moves mow munch munching
    muse paint painting paints pant pants park parry part pass paste pat path paw pay pedal peel peeling peer perch pest petal
    pick pike pile pinch pinching pine ping pint pit place plan plane plant play plays plead plot plug plunge poke poker pole
    pond pool poor pop port pose post pots pounce pound pour pours pout prance pray prays preach prick print printing prints
    prod prone prose prowl prune puff pull pump pumping pumps punt purse push pushy quack quake quilt quit race rage rail rain
    raise rake rant read reading reads real reap reaping rear reeling rest rice ride rides rightful ring rinse rip ripe rises
    road roam roar roast rob rock rocks rode role rolls room root rope ropes rose rotor row rowing rows rub rude ruin rule
    runner runs rush sail salt sand sanding save saw scan scare scoop scorch score scotch scout scowl scream screw scroll seal
    seat sell send sending serve sew sewing shade shaft shame shape share shark sharp shave shed sheet shelf shell shelter
    shine ship ships shirt shock shoe shook shop shops shore short shout shouts shove show shower shrug shrugs shut sick side
    sidewalk sift sigh sign sing singe singing sings sink sinking sinks sip sits size skate skates skating ski skid skiing
    skim skimming skip skips slack slam slamming slap slaps slash sleek sleep sleeve slice slide slides slim sling slings slip
    slips slit slop slope slosh slot slow slump smack smash smell smile smiles smoke snack snag snap snaps snatch sneer sneeze
    sneezes sniff snore snow soak soap soar sob sock solo song soot sort soul soup spank spar spark sparring speak spear speck
    speed spell spend spike spill spine spins spit spits splash split splits spoon sport spot sprain spray spread spring
    sprout spurt squad squash squeak squeeze squint squirt stab stack stage stain stair stairs stalk stall stamp stamping
    stamps stance standard standby stander star stare stares stark start state states stays steak steal steam steel steep stem
    stern stew stick still sting stinging stink stir stock stomp stomps stone stool stoop stoops stops store storm stow
    strafed strain strand strap straw stray stream street stretch stride strife strike string strip stripe stroke stroll
    strong struck strum strut struts stub study stuff stump stunt surf surge swan swap swat swats sway swear sweat sweep
    sweeps swell swift swim swimming swims swine swipe swipes swirl swish sword swore tail take tale talk talker tall tame
    tank tap tape taps taste teach tear tears tease tell tend tending test text thank thaw thick thin thing think thorn thread
    threat thrill thrive throat throb throne thrown thumb tick tie ties tight tile tilt tilts time tip tips tire tired tires
    toast toe toll tone took tool torch tore torn toss touch tough tour tow towel tower town toy trace track trade trail train
    trains tramp tramping trample trampling trap trash travel tray tread treat tree trench trend trial tribe trick tricks trim
    trips trot truck trudge trudges trunk trust tuck tug tugs tune turf turtle twin twist twists type types urge vault veer
    wade wades wail waist waits wake wakes walking-stick wall walls waltz waltzes wand wants ward warm warn wash wasp waste
    watch water waver waves waxes waxing weak wear weave weaves wed weed week weep weeps weigh weld went were west wheel whip
    whips whirl whisk whistle white whole wide wife wild will wilt wind wine wing wings wink winking winks wins wipe wire wise
    wish wolf wood word work worm wound wrap wrestle wring wrist write writes yawn yawns yell yells yoga zoom
"""
)


def probable(written: str) -> str | None:
    """The listed base form that an unlisted word was probably meant to be, or None where that is not clear."""
    word = normalise(written)
    if not (_SHORTEST <= len(word) <= _LONGEST) or not word.isascii() or not word.isalpha() or _is_english(word):
        return None
    found: dict[tuple[str, ...], str] = {}
    for slip in _one_slip(word):
        if slip.endswith("er") and slip not in listed_words():  # "lander" would be a form of "land"
            continue
        base = base_form(slip)
        if slip in _JOINTS:
            found[(slip,)] = slip
        elif base in listed_words() and base not in lexicon.NEUTRAL | lexicon.UNUSED | lexicon.DETERMINERS and meaning(base):
            found[meaning(base) or ()] = base
    return next(iter(found.values())) if len(found) == 1 else None


def _is_english(word: str) -> bool:
    bases = {word, word.removesuffix("s"), word.removesuffix("es"), word.removesuffix("ed"), word.removesuffix("d")}
    bases |= {word.removesuffix("ing"), word.removesuffix("ing") + "e", word.removesuffix("er"), word.removesuffix("ly")}
    return bool(bases & _ENGLISH)


def _one_slip(word: str) -> set[str]:
    """Words at one swap, one letter less, one letter more or one other letter, with the same first letter."""
    parts = [(word[:at], word[at:]) for at in range(1, len(word) + 1)]
    swaps = {head + tail[1] + tail[0] + tail[2:] for head, tail in parts if len(tail) > 1}
    swaps.add(word[1] + word[0] + word[2:])  # "wlak" has its first letter right, "awlk" only swapped
    fewer = {head + tail[1:] for head, tail in parts if tail}
    others = {head + letter + tail[1:] for head, tail in parts if tail for letter in _LETTERS}
    more = {head + letter + tail for head, tail in parts for letter in _LETTERS}
    return (swaps | fewer | others | more) - {word}
