/*
 * list_set - series that another cluster sent, as a set.
 */
#ifndef FEDERATION_LIST_SET_H
#define FEDERATION_LIST_SET_H

#include "federation/selection.h"
#include "transfer.h"

/*
 * Takes the transfer over, whose body the series stay in. In the request's arena. Errors: those of
 * selection_answer_open and series_list_add; the transfer is still the caller's then.
 */
enum error_code list_set_create(const struct series_request *request, struct transfer *transfer,
                                struct text body, struct series_set **set_out, struct error *error);

/* None at all. NULL when memory is out. */
struct series_set *list_set_empty(struct arena *arena);

#endif
