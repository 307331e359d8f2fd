"""Draws landscapes with nothing but Pillow: gradients, fractal noise, ridges, glows and reflections, each from a seeded Random."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from random import Random

from PIL import Image, ImageChops, ImageColor, ImageDraw, ImageFilter, ImageOps

Size = tuple[int, int]
#: Pillow's radial gradient reaches its end in the corners of its square; in the middle of an edge this much of it is left.
CORNER = 76
#: A scene paints a picture of a size; the same Random paints the same picture.
Scene = Callable[[Size, Random], Image.Image]


# What scenes are made of.


def gradient(size: Size, *stops: tuple[float, str]) -> Image.Image:
    """From top to bottom through (position 0 to 1, colour) stops."""
    column = Image.new("RGB", (1, 512))
    column.putdata([between(stops, row / 511) for row in range(512)])
    return column.resize(size, Image.Resampling.BICUBIC)


def between(stops: Sequence[tuple[float, str]], position: float) -> tuple[int, ...]:
    for (low, first), (high, second) in pairwise(stops):
        if position <= high:
            share = (position - low) / (high - low)
            return tuple(round(a + (b - a) * share) for a, b in zip(rgb(first), rgb(second), strict=True))
    return rgb(stops[-1][1])


def rgb(colour: str) -> tuple[int, ...]:
    return ImageColor.getrgb(colour)[:3]


def noise(size: Size, random: Random, cells: tuple[float, float], octaves: int = 5) -> Image.Image:
    """Clouds in grey: octaves of random cells, each twice as fine and half as strong."""
    field = Image.new("L", (1, 1), 128)
    for octave in range(octaves):
        grid = tuple(max(2, min(round(count * 2**octave), side)) for count, side in zip(cells, size, strict=True))
        layer = Image.frombytes("L", grid, random.randbytes(grid[0] * grid[1]))
        field = Image.blend(field.resize(grid, Image.Resampling.BICUBIC), layer, 1 / (2 ** (octave + 1) - 1))
    return ImageOps.autocontrast(field.resize(size, Image.Resampling.BICUBIC), cutoff=0.5)


def relief(field: Image.Image, shift: Size, depth: float = 3.0) -> Image.Image:
    """A height field lit from one side: grey where flat, bright towards the light."""
    lit = ImageChops.subtract(field, ImageChops.offset(field, *shift), scale=1 / depth, offset=128)
    return lit.filter(ImageFilter.GaussianBlur(0.6))


def curve(image: Image.Image, power: float, gain: float = 1.0) -> Image.Image:
    return image.point([min(255, round(255 * gain * (value / 255) ** power)) for value in range(256)] * len(image.getbands()))


def window(image: Image.Image, low: int, high: int) -> Image.Image:
    """Grey below ``low`` becomes black, above ``high`` white."""
    return image.point([max(0, min(255, (value - low) * 255 // (high - low))) for value in range(256)])


def glow(size: Size, centre: tuple[float, float], radius: float, power: float = 2.0) -> Image.Image:
    """A soft round light; centre in shares of the size, radius as a share of the longer side."""
    reach = max(2, round(radius * max(size)))
    disc = curve(window(ImageChops.invert(Image.radial_gradient("L")), CORNER, 255), power).resize((2 * reach, 2 * reach), Image.Resampling.BICUBIC)
    light = Image.new("L", size)
    light.paste(disc, (round(centre[0] * size[0]) - reach, round(centre[1] * size[1]) - reach))
    return light


def shine(picture: Image.Image, light: Image.Image, colour: str) -> Image.Image:
    return ImageChops.screen(picture, ImageOps.colorize(light, "black", colour))


def shade(picture: Image.Image, field: Image.Image, dark: str, bright: str = "white") -> Image.Image:
    return ImageChops.multiply(picture, ImageOps.colorize(field, dark, bright))


def ridge(random: Random, roughness: float = 0.5, steps: int = 9) -> list[float]:
    """A skyline between 0 and 1, by midpoint displacement."""
    heights, reach = [random.random(), random.random()], 1.0
    for _ in range(steps):
        reach *= roughness
        middles = [(a + b) / 2 + random.uniform(-reach, reach) for a, b in pairwise(heights)]
        heights = [value for pair in zip(heights, middles, strict=False) for value in pair] + heights[-1:]
    low, high = min(heights), max(heights)
    return [(value - low) / (high - low) for value in heights]


def below(size: Size, skyline: Sequence[float], top: float, depth: float) -> Image.Image:
    """The mask of what lies under a skyline whose peaks reach ``top`` and whose valleys ``top + depth`` (shares of the height)."""
    width, height = size
    last = len(skyline) - 1
    outline = [(width * at / last, height * (top + depth * (1 - value))) for at, value in enumerate(skyline)]
    mask = Image.new("L", size)
    ImageDraw.Draw(mask).polygon([(0, height), *outline, (width, height)], fill=255)
    return mask.filter(ImageFilter.GaussianBlur(0.8))


def stars(size: Size, random: Random, count: int, floor: float = 1.0) -> Image.Image:
    """Points of light above ``floor`` (a share of the height), a few of them large."""
    light = Image.new("L", size)
    draw = ImageDraw.Draw(light)
    for _ in range(count):
        x, y = random.random() * size[0], random.random() * size[1] * floor
        radius = 0.5 + 1.4 * random.random() ** 8
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=round(70 + 185 * random.random() ** 2))
    return ImageChops.screen(light.filter(ImageFilter.GaussianBlur(0.7)), curve(light.filter(ImageFilter.GaussianBlur(3)), 1.0, 1.6))


def ripple(picture: Image.Image, random: Random, strength: float) -> Image.Image:
    """Rows pushed sideways, more of it nearer to the viewer: what water does to a mirror image."""
    width, height = picture.size
    wobble = noise((1, height), random, (1, height / 9), 3).tobytes()
    water = Image.new("RGB", picture.size)
    for row in range(height):
        push = round((wobble[row] - 128) / 128 * strength * width * (0.15 + row / height))
        water.paste(ImageChops.offset(picture.crop((0, row, width, row + 1)), push, 0), (0, row))
    return water.filter(ImageFilter.GaussianBlur(0.8))


def mirror(picture: Image.Image, horizon: float, random: Random, tint: str, strength: float = 0.012) -> Image.Image:
    """The picture above the horizon, seen again in the water below it."""
    width, height = picture.size
    line = round(horizon * height)
    above = ImageOps.flip(picture.crop((0, 0, width, line))).resize((width, height - line), Image.Resampling.BICUBIC)
    water = shade(ripple(above, random, strength), noise(above.size, random, (5, 60), 3), tint)
    result = picture.copy()
    result.paste(water, (0, line))
    return result


def glitter(size: Size, random: Random, centre: float, horizon: float, spread: float) -> Image.Image:
    """The broken path of light that a sun or moon lays on water."""
    width, height = size
    line = round(horizon * height)
    sparkle = window(noise((width, height - line), random, (width / 60, height / 14), 3), 120, 205)
    deep = height - line
    path = glow((width, 2 * deep), (centre, 0.5), spread, 1.3).crop((0, deep, width, 2 * deep))
    light = Image.new("L", size)
    light.paste(ImageChops.multiply(sparkle, curve(path, 1.0, 1.4)), (0, line))
    return light


def vignette(picture: Image.Image, strength: float = 0.45) -> Image.Image:
    falloff = curve(Image.radial_gradient("L"), 2.6, strength).resize(picture.size, Image.Resampling.BICUBIC)
    return ImageChops.multiply(picture, Image.merge("RGB", [ImageChops.invert(falloff)] * 3))


def mountain(picture: Image.Image, random: Random, mask: Image.Image, rock: tuple[str, str], haze: tuple[str, float]) -> Image.Image:
    """Rock from a dark to a bright colour, lit from the left, under a share of haze."""
    texture = relief(noise(picture.size, random, (9, 5), 7), (-4, 3), 4.0)
    stone = ImageOps.colorize(window(texture, 70, 200), *rock)
    picture.paste(Image.blend(stone, Image.new("RGB", picture.size, haze[0]), haze[1]), mask=mask)
    return picture


def snow(picture: Image.Image, random: Random, mask: Image.Image, depth: float, light: tuple[str, str]) -> Image.Image:
    """Snow on everything within ``depth`` under a mask's upper edge, torn by the rock beneath it."""
    shift = round(depth * picture.height)
    high = Image.new("L", picture.size)
    for part in range(1, 9):
        moved = Image.new("L", picture.size)
        moved.paste(mask, (0, shift * part // 8))
        high = ImageChops.add(high, ImageChops.subtract(mask, moved), scale=1.0 if part == 1 else 1.35)
    field = noise(picture.size, random, (14, 8), 6)
    torn = window(ImageChops.add(curve(high, 0.8), field, scale=2.0), 118, 150)
    lit = ImageOps.colorize(window(relief(field, (-5, 4), 3.0), 50, 200), *light)
    picture.paste(lit, mask=ImageChops.multiply(torn, mask))
    return picture


# The scenes.


def alps(size: Size, random: Random) -> Image.Image:
    picture = gradient(size, (0, "#28407e"), (0.28, "#7d7fb4"), (0.46, "#f0a58f"), (0.6, "#ffd9a0"), (1, "#ffe9c4"))
    picture = shine(picture, glow(size, (0.72, 0.52), 0.42), "#ffb066")
    clouds = window(noise(size, random, (3, 9), 5), 140, 235)
    picture.paste(ImageOps.colorize(noise(size, random, (4, 8)), "#c46f7c", "#ffd2b0"), mask=curve(clouds, 1.0, 0.55))
    for at, haze in enumerate((0.72, 0.5)):
        mask = below(size, ridge(random, 0.56), 0.36 + at * 0.08, 0.26)
        picture = mountain(picture, random, mask, ("#39406b", "#e79c86"), ("#d99b98", haze))
    mask = below(size, ridge(random, 0.56), 0.26, 0.5)
    picture = mountain(picture, random, mask, ("#1d2440", "#c8897c"), ("#8f7a93", 0.12))
    picture = snow(picture, random, mask, 0.17, ("#5b6a9c", "#ffe3cf"))
    for at, colour in enumerate(("#3c4a6b", "#1c2b3c")):
        picture.paste(Image.new("RGB", size, colour), mask=conifers(size, random, 0.8 + at * 0.08, 0.05 + at * 0.03, 150 - at * 50))
        picture = shine(picture, fog(size, random, 0.86 + at * 0.08), "#8d86a6")
    return vignette(picture)


def fog(size: Size, random: Random, level: float) -> Image.Image:
    """A bank of mist around a height."""
    low, high = max(level - 0.12, 0.01), min(level + 0.1, 0.99)
    band = gradient(size, (0, "black"), (low, "black"), (level, "#9a9a9a"), (high, "black"), (1, "black")).convert("L")
    return ImageChops.multiply(band, window(noise(size, random, (3, 5), 4), 40, 230))


def conifers(size: Size, random: Random, top: float, height: float, count: int) -> Image.Image:
    """The mask of a wood's edge: spruces side by side over a rolling ground."""
    width, tall = size
    mask = below(size, ridge(random, 0.42), top, 0.06)
    draw = ImageDraw.Draw(mask)
    foot = tall * (top + 0.07)
    draw.rectangle((0, foot, width, tall), fill=255)
    for _ in range(count):
        x = random.uniform(-0.02, 1.02) * width
        spruce(draw, x, foot, tall * height * random.uniform(0.7, 1.7), random)
    return mask.filter(ImageFilter.GaussianBlur(0.6))


def spruce(draw: ImageDraw.ImageDraw, x: float, foot: float, tall: float, random: Random) -> None:
    tiers = 9
    spread = tall * 0.2
    for tier in range(tiers):
        peak = foot - tall * (1 - tier / tiers)
        reach = spread * (tier + 1.2) / tiers * random.uniform(0.8, 1.15)
        drop = tall / tiers * 1.7
        draw.polygon([(x, peak), (x - reach, peak + drop), (x + reach, peak + drop)], fill=255)
    draw.rectangle((x - tall * 0.012, foot - tall * 0.1, x + tall * 0.012, foot + tall * 0.1), fill=255)


def harbour(size: Size, random: Random) -> Image.Image:
    width, height = size
    horizon = 0.58
    picture = gradient(size, (0, "#0b1030"), (0.3, "#2b2a63"), (0.46, "#8a3f78"), (0.56, "#f08a5d"), (1, "#f9b572"))
    picture = shine(picture, stars(size, random, 260, 0.32), "#cfd8ff")
    picture = shine(picture, glow(size, (0.35, horizon), 0.4), "#ff8a4a")
    for at, colour in enumerate(("#4b2f63", "#2a2049", "#141230")):
        picture = skyline(picture, random, horizon, (0.3 - at * 0.07, 0.012 + at * 0.006), colour, at)
    lights = Image.new("L", size)
    draw = ImageDraw.Draw(lights)
    for step in range(46):
        x, y = width * (step + random.random()) / 46, height * (horizon - 0.004 - 0.006 * random.random())
        draw.ellipse((x - 3, y - 3, x + 3, y + 3), fill=255)
    picture = shine(picture, ImageChops.screen(lights, curve(lights.filter(ImageFilter.GaussianBlur(9)), 1.0, 2.5)), "#ffd28a")
    picture = mirror(picture, horizon, random, "#4a4675", 0.02)
    return vignette(picture, 0.4)


def skyline(picture: Image.Image, random: Random, horizon: float, tall: tuple[float, float], colour: str, near: int) -> Image.Image:
    """A row of houses up to ``tall[0]`` high with windows ``tall[1]`` wide; the nearer, the more of them are lit."""
    width, height = picture.size
    draw = ImageDraw.Draw(picture)
    lights = Image.new("L", picture.size)
    lamps = ImageDraw.Draw(lights)
    pane = max(2, round(width * tall[1] / 3))
    x = -0.02 * width
    while x < width:
        wide = width * random.uniform(0.035, 0.09)
        top = height * (horizon - tall[0] * random.uniform(0.25, 1) ** 1.4)
        draw.rectangle((x, top, x + wide, height * horizon), fill=colour)
        if random.random() < 0.25:
            draw.line((x + wide / 2, top, x + wide / 2, top - height * 0.03), fill=colour, width=2)
        windows(lamps, random, (x + pane, top + pane, x + wide - pane, height * horizon - pane), pane, 0.12 + 0.13 * near)
        x += wide * random.uniform(0.9, 1.1)
    return shine(picture, ImageChops.screen(lights, curve(lights.filter(ImageFilter.GaussianBlur(pane)), 1.0, 0.8)), "#ffcf7d")


def windows(draw: ImageDraw.ImageDraw, random: Random, box: tuple[float, float, float, float], pane: int, share: float) -> None:
    y = box[1]
    while y < box[3] - pane:
        x = box[0]
        while x < box[2] - pane:
            if random.random() < share:
                draw.rectangle((x, y, x + pane - 1, y + pane), fill=random.randint(110, 255))
            x += pane * 2
        y += pane * 2.6


def dunes(size: Size, random: Random) -> Image.Image:
    picture = gradient(size, (0, "#3f77b5"), (0.3, "#9cc3da"), (0.48, "#f6e3c0"), (1, "#f6d9a6"))
    picture = shine(picture, glow(size, (0.2, 0.34), 0.3, 2.5), "#fff1c9")
    tones = (("#c9884f", "#f3cd98"), ("#b8692f", "#f0b873"), ("#a2521f", "#eda45a"), ("#7d3a17", "#e58f43"))
    for at, (dark, bright) in enumerate(tones):
        picture = dune(picture, random, 0.4 + 0.13 * at, 0.16 + 0.05 * at, (dark, bright))
    return vignette(picture)


def dune(picture: Image.Image, random: Random, top: float, depth: float, tones: tuple[str, str]) -> Image.Image:
    """One crest of sand: bright on the windward side, its lee in shadow, combed by the wind."""
    size = picture.size
    skyline = ridge(random, 0.3, 6)
    mask = below(size, skyline, top, depth)
    ripples = relief(noise(size, random, (9, 80), 3), (-2, 3), 0.5)
    sand = ImageOps.colorize(window(Image.blend(ripples, noise(size, random, (2, 3), 2), 0.45), 50, 190), *tones)
    picture.paste(sand, mask=mask)
    lee = below(size, [value * 0.55 + 0.45 * skyline[max(at - 7, 0)] - 0.22 for at, value in enumerate(skyline)], top, depth)
    shadow = ImageChops.subtract(mask, lee).filter(ImageFilter.GaussianBlur(2))
    picture.paste(shade(picture, noise(size, random, (3, 3), 2), tones[0], "#b9835c"), mask=curve(shadow, 1.0, 0.6))
    return picture


def aurora(size: Size, random: Random) -> Image.Image:
    picture = gradient(size, (0, "#040918"), (0.5, "#0b2236"), (0.72, "#14403f"), (1, "#0a1a20"))
    picture = shine(picture, stars(size, random, 900, 0.75), "#dfe8ff")
    for colour, centre, reach in (("#1dff9a", 0.5, 0.36), ("#56e0ff", 0.36, 0.28), ("#c04dff", 0.26, 0.3)):
        picture = shine(picture, curtain(size, random, centre, reach), colour)
    mask = below(size, ridge(random, 0.55), 0.64, 0.14)
    picture = mountain(picture, random, mask, ("#050d14", "#31505c"), ("#0d2b33", 0.25))
    picture = snow(picture, random, mask, 0.1, ("#16323e", "#7fb5b0"))
    return vignette(mirror(picture, 0.76, random, "#2b5a66", 0.01), 0.35)


def curtain(size: Size, random: Random, centre: float, reach: float) -> Image.Image:
    """Rays that hang along a wandering line, bright at their foot."""
    width, height = size
    path, rays = ridge(random, 0.42, 8), noise((width, 1), random, (26, 1), 4).tobytes()
    ray = curve(gradient((1, height), (0, "black"), (0.82, "white"), (0.94, "#909090"), (1, "black")).convert("L"), 2.2)
    light = Image.new("L", size)
    for x in range(width):
        foot = height * (centre + 0.3 * (path[x * (len(path) - 1) // width] - 0.5))
        tall = max(8, round(height * reach * (0.45 + rays[x] / 300)))
        strip = ray.resize((1, tall), Image.Resampling.BILINEAR).point([value * (70 + rays[x]) // 420 for value in range(256)])
        light.paste(strip, (x, round(foot) - tall))
    return light.filter(ImageFilter.GaussianBlur(width / 260))


def forest(size: Size, random: Random) -> Image.Image:
    picture = gradient(size, (0, "#dfe9df"), (0.5, "#c3d6cc"), (1, "#94b0a4"))
    picture = shine(picture, glow(size, (0.66, 0.18), 0.5), "#fff3c4")
    depths = 6
    for at in range(depths):
        near = at / (depths - 1)
        colour = tuple(round(far + (close - far) * near) for far, close in zip(rgb("#a9c3b8"), rgb("#10251d"), strict=True))
        mask = conifers(size, random, 0.34 + 0.105 * at, 0.08 + 0.05 * at, 70 - 8 * at)
        picture.paste(Image.new("RGB", size, colour), mask=mask)
        picture = shine(picture, curve(fog(size, random, 0.46 + 0.105 * at), 1.0, 1.0 - 0.55 * near), "#dbe8da")
    return vignette(shine(picture, glow(size, (0.66, 0.12), 0.7, 1.2), "#6b5c2e"), 0.4)


def moonrise(size: Size, random: Random) -> Image.Image:
    horizon = 0.62
    picture = gradient(size, (0, "#0a1330"), (0.42, "#27406e"), (0.62, "#7d86a8"), (0.621, "#2a3f63"), (1, "#060b1a"))
    picture = shine(picture, stars(size, random, 350, 0.45), "#dbe4ff")
    clouds = window(noise(size, random, (2, 10), 5), 135, 235)
    sky = ImageChops.multiply(clouds, below(size, [0.5, 0.5], 0, 1).transpose(Image.Transpose.FLIP_TOP_BOTTOM))
    picture.paste(ImageOps.colorize(noise(size, random, (4, 9)), "#2b3960", "#b7b6c9"), mask=curve(sky, 1.0, 0.5))
    picture = shine(picture, glow(size, (0.6, 0.32), 0.45, 2.6), "#f3e3b8")
    moon(picture, random, (0.6, 0.32), 0.062)
    water = relief(noise(size, random, (14, 60), 4), (0, 2), 2.0)
    sea = below(size, [1.0, 1.0], horizon, 0)
    picture.paste(shade(picture, water, "#7a86a8"), mask=sea)
    picture = shine(picture, glitter(size, random, 0.6, horizon, 0.26), "#ffeec4")
    return vignette(picture)


def moon(picture: Image.Image, random: Random, centre: tuple[float, float], radius: float) -> None:
    reach = round(radius * picture.width)
    disc = Image.new("L", (8 * reach, 8 * reach))
    ImageDraw.Draw(disc).ellipse((0, 0, 8 * reach - 1, 8 * reach - 1), fill=255)
    mask = disc.resize((2 * reach, 2 * reach), Image.Resampling.LANCZOS)
    seas = ImageOps.colorize(window(noise(mask.size, random, (3, 3), 4), 60, 180), "#cfc4a4", "#fffbe9")
    picture.paste(seas, (round(centre[0] * picture.width) - reach, round(centre[1] * picture.height) - reach), mask)


def lavender(size: Size, random: Random) -> Image.Image:
    width, height = size
    horizon = round(0.44 * height)
    picture = gradient(size, (0, "#5a4a8a"), (0.22, "#d9748a"), (0.36, "#ffb27a"), (0.44, "#ffe2a8"), (1, "#3c2a5c"))
    clouds = window(noise(size, random, (3, 12), 5), 130, 230)
    picture.paste(ImageOps.colorize(noise(size, random, (4, 9)), "#93508a", "#ffc39a"), mask=curve(clouds, 1.0, 0.7))
    picture = shine(picture, glow(size, (0.5, 0.43), 0.3, 2.4), "#fff0c0")
    for at, colour in enumerate(("#8a5f86", "#5b4470")):
        picture.paste(Image.new("RGB", size, colour), mask=below(size, ridge(random, 0.4), 0.39 + at * 0.03, 0.05))
    picture.paste(rows((width, height - horizon), random), (0, horizon))
    field = below(size, [1.0, 1.0], horizon / height, 0)
    warm = shine(picture, glow(size, (0.5, 0.44), 0.5, 1.6), "#c8643c")
    picture.paste(warm, mask=field)
    tree(picture, random, (0.735, 0.47), 0.17)
    return vignette(picture)


def rows(size: Size, random: Random) -> Image.Image:
    """A field of flower rows that meet in one point of the horizon."""
    width, height = size
    count = 34
    strip = Image.new("L", (count * 24, 1))
    strip.putdata([round(255 * max(0.0, 1 - abs((x % 24) / 12 - 1) ** 2.4)) for x in range(count * 24)])
    flat = strip.resize((1200, height), Image.Resampling.BICUBIC)
    squeezed = Image.new("L", size)
    for row in range(height):
        share = 0.02 + 0.98 * (row / height) ** 1.15
        span = 600 / (share * 13.2 + 0.05)
        line = flat.transform((width, 1), Image.Transform.EXTENT, (600 - span, row, 600 + span, row + 1), Image.Resampling.BICUBIC)
        squeezed.paste(line, (0, row))
    blossom = ImageOps.colorize(noise(size, random, (60, 70), 4), "#4b2a86", "#b98af0")
    earth = ImageOps.colorize(noise(size, random, (40, 40), 3), "#1d1a26", "#3d4a34")
    return Image.composite(blossom, earth, squeezed)


def tree(picture: Image.Image, random: Random, foot: tuple[float, float], tall: float) -> None:
    width, height = picture.size
    x, y, high = foot[0] * width, foot[1] * height, tall * height
    draw = ImageDraw.Draw(picture)
    draw.polygon([(x - high * 0.03, y), (x - high * 0.015, y - high * 0.6), (x + high * 0.015, y - high * 0.6), (x + high * 0.03, y)], fill="#1d1428")
    for _ in range(240):
        angle, reach = random.uniform(-1, 1), random.random() ** 0.6
        leaf_x, leaf_y = x + angle * reach * high * 0.36, y - high * (0.68 + random.uniform(-0.3, 0.3) * (1 - abs(angle) ** 2))
        radius = high * random.uniform(0.02, 0.05)
        draw.ellipse((leaf_x - radius, leaf_y - radius, leaf_x + radius, leaf_y + radius), fill=random.choice(("#1d1428", "#2a1c38", "#3a2440")))


def nebula(size: Size, random: Random) -> Image.Image:
    picture = Image.new("RGB", size, "#03040c")
    for colour, low, cells in (("#5a1d8f", 90, (2, 2)), ("#d8356f", 120, (3, 3)), ("#2a7bff", 115, (3, 2)), ("#ffb45a", 150, (4, 4))):
        cloud = curve(window(noise(size, random, cells, 7), low, 255), 1.5)
        picture = shine(picture, ImageChops.multiply(cloud, curve(glow(size, (0.5, 0.5), 0.62, 0.7), 1.0, 1.2)), colour)
    dust = window(noise(size, random, (3, 3), 7), 90, 170)
    picture = shade(picture, dust, "#3a2233")
    picture = shine(picture, glow(size, (0.46, 0.52), 0.2, 2.4), "#ffd9c0")
    picture = shine(picture, stars(size, random, 1400), "#fff4e6")
    return vignette(picture, 0.5)


def lake(size: Size, random: Random) -> Image.Image:
    horizon = 0.55
    picture = gradient(size, (0, "#2f6fb0"), (0.3, "#7fb4dc"), (0.55, "#e6f0ee"), (1, "#e6f0ee"))
    clouds = window(noise(size, random, (3, 6), 6), 135, 215)
    picture.paste(ImageOps.colorize(noise(size, random, (5, 6)), "#c9d3de", "#ffffff"), mask=curve(clouds, 1.0, 0.85))
    far = below(size, ridge(random, 0.55), 0.26, 0.26)
    picture = mountain(picture, random, far, ("#50658a", "#b9c2cf"), ("#9db6cf", 0.45))
    near = below(size, ridge(random, 0.58), 0.18, 0.4)
    picture = mountain(picture, random, near, ("#2e3a48", "#a49d92"), ("#8da6bd", 0.15))
    picture = snow(picture, random, near, 0.11, ("#8fa6c6", "#ffffff"))
    wood = conifers(size, random, 0.5, 0.05, 170)
    picture.paste(ImageOps.colorize(noise(size, random, (60, 30), 3), "#12301f", "#4d7a3a"), mask=wood)
    return vignette(mirror(picture, horizon, random, "#7fa3a8", 0.008), 0.35)


def bokeh(size: Size, random: Random) -> Image.Image:
    width, height = size
    picture = gradient(size, (0, "#1a0b2e"), (0.55, "#431a3d"), (1, "#120716"))
    colours = ("#ff9d3c", "#ffd166", "#ff5d73", "#7b6cff", "#36d1c4", "#ff7bd5")
    for at in range(90):
        disc = blurred_disc(round(min(size) * random.uniform(0.03, 0.1) * (0.6 + at / 110)), random.randint(60, 190), 1 + (90 - at) / 30)
        left = round(width * random.random()) - disc.width // 2
        top = round(height * min(1, max(0, random.gauss(0.55, 0.24)))) - disc.height // 2
        box = (left, top, left + disc.width, top + disc.height)
        picture.paste(shine(picture.crop(box), disc, random.choice(colours)), box)
    return vignette(picture, 0.5)


def blurred_disc(radius: int, level: int, blur: float) -> Image.Image:
    """A light out of focus: flat, with a brighter rim."""
    disc = Image.new("L", (4 * radius, 4 * radius))
    ImageDraw.Draw(disc).ellipse((0, 0, 4 * radius - 1, 4 * radius - 1), fill=level * 3 // 4, outline=level, width=max(2, radius // 5))
    return ImageOps.expand(disc.resize((2 * radius, 2 * radius), Image.Resampling.LANCZOS), 12).filter(ImageFilter.GaussianBlur(blur))


def balloon(size: Size, _random: Random) -> Image.Image:
    """A hot-air balloon cut out of its sky: RGBA."""
    width, height = size
    colours = ("#e63946", "#ffb703", "#f4f1de", "#219ebc", "#023047")
    body = Image.new("RGB", size)
    draw = ImageDraw.Draw(body)
    centre, reach, top, foot = width / 2, width * 0.44, height * 0.03, height * 0.72
    gores = 15
    for gore in range(gores, 0, -1):
        half = reach * gore / gores
        draw.ellipse((centre - half, top, centre + half, top + 2 * reach), fill=colours[gore % 5])
        draw.polygon(skirt(centre, half, top + reach, reach, foot), fill=colours[gore % 5])
    shape = Image.new("L", size)
    outline = ImageDraw.Draw(shape)
    outline.ellipse((centre - reach, top, centre + reach, top + 2 * reach), fill=255)
    outline.polygon(skirt(centre, reach, top + reach, reach, foot), fill=255)
    body = shade(body, glow(size, (0.36, 0.27), 0.75, 0.8), "#2a2438")
    body = shine(body, glow(size, (0.34, 0.2), 0.3, 1.6), "#6a5c50")
    basket(body, outline, (centre, foot, reach), height)
    body.putalpha(shape.filter(ImageFilter.GaussianBlur(0.7)))
    return body


def skirt(centre: float, half: float, middle: float, tall: float, foot: float) -> list[tuple[float, float]]:
    """From the widest line of a balloon down to its mouth: round at first, then straight."""
    right = []
    for step in range(13):
        share = step / 12
        wide = half * (1 - 0.8 * share**1.6)
        right.append((centre + wide, middle + (foot - middle) * share))
    return right + [(2 * centre - x, y) for x, y in reversed(right)]


def basket(body: Image.Image, outline: ImageDraw.ImageDraw, place: tuple[float, float, float], height: int) -> None:
    centre, foot, reach = place
    draw = ImageDraw.Draw(body)
    half, top, bottom = reach * 0.16, height * 0.84, height * 0.95
    for x in (-1.0, -0.35, 0.35, 1.0):
        rope = (centre + x * reach * 0.19, foot, centre + x * half, top)
        draw.line(rope, fill="#5b4632", width=3)
        outline.line(rope, fill=255, width=3)
    for weave in range(8):
        y = top + (bottom - top) * weave / 8
        draw.rectangle((centre - half, y, centre + half, y + (bottom - top) / 8), fill="#8a5a2b" if weave % 2 else "#a8733a")
    outline.rectangle((centre - half, top, centre + half, bottom), fill=255)


def meadow(size: Size, random: Random) -> Image.Image:
    picture = gradient(size, (0, "#141a3c"), (0.5, "#3a3f6e"), (0.7, "#b8748a"), (0.78, "#e9a27c"), (1, "#0a1210"))
    picture = shine(picture, stars(size, random, 120, 0.5), "#e8ecff")
    picture.paste(Image.new("RGB", size, "#2b2c4c"), mask=below(size, ridge(random, 0.4), 0.68, 0.12))
    picture.paste(Image.new("RGB", size, "#131c22"), mask=conifers(size, random, 0.74, 0.07, 40))
    draw = ImageDraw.Draw(picture)
    width, height = size
    for _ in range(900):
        x, foot, tall = random.random() * width, height * random.uniform(0.9, 1.05), height * random.uniform(0.06, 0.2)
        lean = random.uniform(-0.3, 0.3) * tall
        draw.line((x, foot, x + lean * 0.4, foot - tall * 0.6, x + lean, foot - tall), fill=random.choice(("#0b1512", "#13231b", "#1c3020")), width=1)
    return picture


def fireflies(ground: Image.Image, random: Random, frames: int = 10) -> list[Image.Image]:
    """Lights that come and go over a meadow, frame by frame."""
    paths = [(random.random(), random.uniform(0.5, 0.95), random.uniform(-0.03, 0.03), random.random()) for _ in range(34)]
    return [lit(ground, paths, frame / frames) for frame in range(frames)]


def lit(ground: Image.Image, paths: list[tuple[float, float, float, float]], moment: float) -> Image.Image:
    light = Image.new("L", ground.size)
    draw = ImageDraw.Draw(light)
    for x, y, drift, phase in paths:
        level = round(255 * abs(2 * ((moment + phase) % 1) - 1) ** 1.5)
        left, top = (x + drift * moment) * ground.width, (y + drift * moment / 2) * ground.height
        draw.ellipse((left - 2, top - 2, left + 2, top + 2), fill=level)
    halo = curve(light.filter(ImageFilter.GaussianBlur(7)), 1.0, 4.0)
    return shine(ground, ImageChops.screen(light, halo), "#e9ff7a")
