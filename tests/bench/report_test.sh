#!/bin/bash
exec python3 -B "$(dirname "$0")/report_test.py"
