# SPDX-License-Identifier: GPL-3.0-or-later
"""Slips of the keyboard: the one listed word that a word nobody knows was probably meant to be.

Corrects little, because a wrong correction is a confident wrong reading: only words of four letters and more, one slip, the first
letter right, one meaning, and never a common English word.
"""

from __future__ import annotations

from . import lexicon
from .words import base_form, listed_words, meaning, normalise

_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_SHORTEST = 4
_LONGEST = 16
_FOR_MORE_OR_LESS = 6
_FOR_OTHERS = 7
_ENDINGS = (
    ("s", ("",)), ("es", ("",)), ("ies", ("y",)), ("ed", ("", "e")), ("ied", ("y",)), ("ing", ("", "e")), ("er", ("", "e")),
    ("ers", ("", "e")), ("ly", ("",)),
)  # fmt: skip
_JOINTS = frozenset(("then", "while", "after", "before", "second", "seconds", "times", "twice", "degrees", "metres", "steps"))

# Words that are one letter away from a known one and mean something else.
_ENGLISH = lexicon.words_of(
    """
    aims archway arise attach backstroke backwater bake band bands bang bangs bark barks bawl beam beat bell bending bent bike
    bind bite blend boat boating bode boss botch bound bounds bounty bower bowl bowls boxers brawl breach bread breadth break
    breaststroke breath brick bride bring bringing broad brow brown brush bullet bump bumping bumps bunch bunching burn bush
    butterfly call camp camping cane care cares carry cart case cat catch cats chain chair chairs chant chap chart chase chat
    cheat check cheek chew chips choir chomp choose chore chose chosen clam clamp clap claps clash class clay cleaver click
    cliff climbed climber clime clinch cling clinging clinks clips clock close cloud clown clutch coach coast confuse cost
    cough count cower crack craft cramp crane crank crash crate crave craw crawfish crawler crayon cream crew cries croak crop
    cross crouched crouton crowding crowing crown cruise crush curl curls curse curves dance danger dare dart deal deep depend
    derive dial dice dine ding dishes dock dome door dope dose down drag drain drank draw drawing drawl dream dress drift
    drill drip driver drop drown drowning drum drummer drunk duel dumping dunk dust ease fail faint fair fake fall fan farm
    fast fast-forward fear feed feel feeling feels fence fending fight file fill film find fine finger fire fish fist fit fits
    fitting five fix fixer flag flail flap flash flat flex flick flies flight fling flinging flint flirt float flock flood
    floor flow fly fold food fool force forge fork form format forwarded found fountain frame freeze fresh fret fried
    front-end frown fry fully gaze glance glide glow golf grab grace grade grand grape grasp graze great green grin grind grip
    groan ground grove grow growing growl guide guitar hail halt hand handle handshake hang hanging harm hats haul head
    head-on headbang headbutt header heading heal heaping hear heat held hello help hide hike hiking hill hint hire hit hobble
    hold holder hole holy home hood hook hoop hope hopes hops horse hose host hover howl huge hugs humping hunch hunching hunt
    hurl hurt hush ideal ideally inch jack jail jams jaw jogger join joke juggle juggles jumble jump jumper jumpy just keel
    keen kernel keys kicker kill kills king kiss kisses kite knead kneading knee knell knife knit knits knob knock knocks knot
    lace lady lake lamp landing lane laps large laugh laughs launch launching lay lead leading leads leaf leak lean leap
    leaping learn leave leaves left lefty legend legs lend lending lick licks life lift light lights like lime limp limping
    limps line link linking lint lion lips list listen literal live load loan local locally lock log long look looks loom loop
    lose love low luck lump lunch lunching lunge march marching-band mark mask mast match mate mean meet melt mending mime
    mine miss mist moan mock mood moon mope more mount mouse mouth moves mow munch munching muse pack paddle paint painting
    paints pant pants park parry part pass paste pat patch path paw pay pedal peddle peel peeling peer perch pest petal piano
    pick pickle pike pile pinch pinching pine ping pint pit place plan plane plant play plays plead plot plug plunge pointer
    pointy poke poker pole poll pond pool poor pop port pose post pots pounce pound pour pours pout prance pray prays preach
    prick print printing prints prod prone prose prowl prune puff pull pump pumping pumps punt purse push pushy puzzle quack
    quake quilt quit race rage rail rain raise rake rang range rant react read reading reads real reap reaping rear reeling
    refer relate related rest reuse rice ride rides rightful ring rinse rip ripe rises road roam roar roast rob rock rocks
    rode role rolls room root rope ropes rose rotor row rowing rows rub rude ruin rule runner runs rush sail salt sand sanding
    save saw scan scare scoop scope scorch score scotch scout scowl scramble scream screw scroll scurry scuttle seal seat sell
    send sending serve set setting sew sewing shade shaft shame shape share shark sharp shave shed sheet shelf shell shelter
    shine ship ships shirt shock shoe shook shop shopping shops shore short shout shouts shove show shower shrug shrugs
    shudder shut sick side sidewalk sift sigh sign simply sing singe singing sings sink sinking sinks sip sits size skate
    skates skating ski skid skiing skim skimming skip skips skydive slack slam slamming slap slaps slash sleek sleep sleeve
    slice slide slides slim sling slings slip slips slit slither slop slope slosh slot slow slump smack smash smell smile
    smiles smoke snack snag snap snaps snatch sneer sneeze sneezes sniff sniper snore snow soak soap soar sob sock solo somber
    song soot sort soul soup span spank spar spark sparring speak spear speck speed spell spend spike spill spine spins spit
    spits splash split splits spoon sport spot sprain spray spread spring sprout spurt spy squad square squares squash squeak
    squeeze squint squirm squirms squirrel squirt stab stack stage stain stair stairs stalk stall stamp stamping stamps stance
    standard standby stander star stare stares stark start stash state states stays steak steal steam steel steep stem stern
    stew stick sticker still sting stinging stink stir stock stomp stomps stone stool stoop stoops stops store storm stow
    strafed strain strand strap straw stray stream street stretch stride strife strike string strip stripe stripes stroke
    stroll strong struck strum strut struts stub stubs study stuff stump stunt stutter suite suites surf surge swan swap swat
    swats sway swear sweat sweater sweep sweeps swell swift swim swimming swims swine swipe swipes swirl swish sword swore
    tail taint take tale talk talker tall tame tank tap tape taps taste teach tear tears tease tell tend tending test text
    thank thaw thick thin thing think thorn though thought thoughts thread threat thrill thrive throat throb throne thrown
    thumb tick tie ties tight tile tilt tilts time timer tip tips tire tired tires toast toe toll tone took tool torch tore
    torn tort toss total totally touch tough tour tow towel tower town toy trace track trade trail train trains tramp tramping
    trample trampling trap trash travel tray tread treat tree trench trend trial tribe trick tricks trim triple trips trot
    trotter truck trudge trudges trumpet trunk trust tuck tug tugs tune turf turtle twin twist twists type types urge usual
    usually vault veer victor violin wade wades wail waist wait waiter waits waive wake wakes walker walking-stick wall walls
    waltz waltzes wand wants ward warm warn wash wasp waste watch water waver waves waxes waxing weak wear weave weaves wed
    weed week weep weeps weigh weld went were west wheel whip whips whirl whisk whistle white whole wide wife wild will wilt
    wind wine wing wings wink winking winks wins wipe wire wise wish wolf wood word work worm wound wrap wrestle wrestler
    wrestling wring wrist write writes yawn yawns yell yells yoga zoom
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
    bases = {word}
    for ending, replacements in _ENDINGS:
        if word.endswith(ending):
            stem = word.removesuffix(ending)
            bases |= {stem + replacement for replacement in replacements}
            if len(stem) > 2 and stem[-1] == stem[-2]:  # "skipping"
                bases.add(stem[:-1])
    return bool(bases & _ENGLISH)


def _one_slip(word: str) -> set[str]:
    """Words at one slip that keep the first letter. The shorter a word, the fewer slips are believed of it.

    Two letters swapped or one doubled, at any length; one too few or too many from `_FOR_MORE_OR_LESS` letters on; a wrong one
    from `_FOR_OTHERS` letters on.
    """
    parts = [(word[:at], word[at:]) for at in range(1, len(word) + 1)]
    slips = {head + tail[1] + tail[0] + tail[2:] for head, tail in parts if len(tail) > 1}
    slips |= {head + tail[1:] for head, tail in parts if tail and head[-1] == tail[0]}
    slips |= {head + head[-1] + tail for head, tail in parts}
    if len(word) >= _FOR_MORE_OR_LESS:
        slips |= {head + tail[1:] for head, tail in parts if tail}
        slips |= {head + letter + tail for head, tail in parts for letter in _LETTERS}
    if len(word) >= _FOR_OTHERS:
        slips |= {head + letter + tail[1:] for head, tail in parts if tail for letter in _LETTERS}
    return slips - {word}
