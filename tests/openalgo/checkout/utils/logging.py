"""Loggers, under the name the checkout has for them."""

import logging


def get_logger(name):
    return logging.getLogger(name)
