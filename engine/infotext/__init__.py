"""What a picture says of how it was made: written as AUTOMATIC1111's WebUI writes it, read from all the common tools.

    picture    the file's bytes        → the texts in it, by name (PNG chunks, EXIF); and a text → EXIF
    stealth    its pixels              → the text hidden in their lowest bits
    webui, comfyui, invokeai, fooocus, swarmui, novelai
               those texts             → facts: what one tool says, in the WebUI's words
    settle     facts                   → a Reading: a Request, and a note for all that could not be taken over
    grammar    the WebUI's text        ↔ prompt, negative prompt, named values
    write      a Request               → the WebUI's text

Request → text → Request is the identity for all that determines a picture; see `write`. No torch.
"""

from .picture import infotext_exif
from .read import read_infotext, read_picture
from .settle import Reading
from .write import write_infotext

__all__ = ["Reading", "infotext_exif", "read_infotext", "read_picture", "write_infotext"]
