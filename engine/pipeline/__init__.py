"""diffusers lives here only: loading base models, conditioning, samplers, the denoising loop, pictures out."""

from transformers.utils import logging

logging.set_verbosity_error()  # on import it notes that torchvision is missing, which nothing here needs
