#include "program_version.h"

#include "base/state_version.h"

const uint32_t PROGRAM_STATE_VERSION_MAX = STATE_VERSION_MAX;
