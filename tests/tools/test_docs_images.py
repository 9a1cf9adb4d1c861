"""The moving picture of the README."""

from PIL import Image, ImageFont

from tools.docs_images import CLIPS, FRAME_RATE, SECONDS, draw_grid, wrap


def test_each_clip_plays_at_its_own_frame_rate_and_starts_again() -> None:
    slow = next(clip for clip in CLIPS if clip.frame_rate == 7)
    fast = next(clip for clip in CLIPS if clip.frame_rate == 25)
    videos = [
        [Image.new("RGB", (192, 192), (number, 0, 0)) for number in range(count)]
        for count in (14, 25)
    ]
    pictures = draw_grid([slow, fast], videos)
    assert len(pictures) == SECONDS * FRAME_RATE
    shown = [(picture.getpixel((0, 0)), picture.getpixel((200, 0))) for picture in pictures]
    assert shown[3] == ((0, 0, 0), (3, 0, 0))
    assert shown[4] == ((1, 0, 0), (4, 0, 0))
    assert shown[25] == ((7, 0, 0), (0, 0, 0))


def test_captions_are_broken_between_words_to_their_width() -> None:
    font = ImageFont.load_default(13)
    lines = wrap("a large red circle moves left over a blue background", font, 120).split("\n")
    assert " ".join(lines) == "a large red circle moves left over a blue background"
    assert max(font.getlength(line) for line in lines) <= 120
    assert wrap("unbreakable", font, 10) == "unbreakable"
