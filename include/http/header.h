/*
 * header - a field of a head: its name and its value, in memory that somebody else owns.
 */
#ifndef HTTP_HEADER_H
#define HTTP_HEADER_H

#include "base/text.h"

struct http_header {
    struct text name;
    struct text value; /* without white space at its ends */
};

#endif
