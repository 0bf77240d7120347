/* What this library was compiled from, as digest.py tells it. */
#include "native.h"

const char *recall_sources(void) { return RECALL_SOURCES; }
