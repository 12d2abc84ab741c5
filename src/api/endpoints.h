/*
 * endpoints - every path below /api/v1: who answers it, and what openapi.yaml says of it.
 */
#ifndef API_ENDPOINTS_H
#define API_ENDPOINTS_H

#include <stdbool.h>

#include "api/api.h"
#include "http/router.h"

/* What a successful answer is. */
enum api_answer {
    API_ANSWERS_JSON,  /* in the envelope */
    API_ANSWERS_LINES, /* of JSON */
    API_ANSWERS_YAML,
    API_ANSWERS_PROTOBUF,
    API_ANSWERS_NOTHING, /* 204 */
};

struct api_endpoint {
    unsigned methods;
    const char *path;     /* with /api/v1 */
    const char *prefixed; /* with /prometheus/api/v1 */
    http_handler *handler;
    const char *tag;
    const char *summary;
    const char *parameters; /* names with blanks between them, of API_PARAMETERS; required ones
                               begin with '!' */
    enum api_answer answer;
    enum api_service service; /* 0: of any node */
};

struct api_endpoints {
    const struct api_endpoint *entries; /* [count] */
    size_t count;
};

struct api_endpoints api_endpoints(void);

/* Those that only administrators have. */
struct api_endpoints api_admin_endpoints(void);

/* Whether a route of the router is about the node as a whole: nothing for who is bound to a tenant.
 */
bool api_is_of_the_node(const char *route);

/* A parameter, whichever endpoint takes it. */
struct api_parameter {
    const char *name;
    const char *schema; /* YAML in one line */
    const char *description;
};

/* NULL: there is none of that name. */
const struct api_parameter *api_parameter_find(struct text name);

#endif
