/* The program as the release after this one will be: it knows one state-machine version more, in
 * which a shard counts its writes (base/state_version.h). */
#include "../../../src/server/program_version.h"
#include "base/state_version.h"

const uint32_t PROGRAM_STATE_VERSION_MAX = STATE_VERSION_REHEARSAL;
