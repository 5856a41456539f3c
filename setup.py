"""Lets older pip install from setup.cfg."""

from setuptools import setup

setup()
