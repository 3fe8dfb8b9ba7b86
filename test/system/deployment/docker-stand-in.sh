#!/bin/sh
# What CDK_DOCKER runs in the deployment tests: the image's build and push succeed without Docker and without a registry.
# `inspect` fails, as it does for an image that has not been built yet.
[ "$1" != inspect ]
