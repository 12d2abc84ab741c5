/*
 * credentials - keys and certificates made for one test, as PEM files in a folder of their own.
 */
#ifndef TESTS_SUPPORT_CREDENTIALS_H
#define TESTS_SUPPORT_CREDENTIALS_H

#include <stdint.h>

enum { CREDENTIALS_PATH_MAX = 128 };

struct credentials {
    char directory[CREDENTIALS_PATH_MAX];
    char certificate_path[CREDENTIALS_PATH_MAX]; /* self-signed: its own CA */
    char key_path[CREDENTIALS_PATH_MAX];
};

/* A key and a certificate for `name` that is valid for `valid_s` from now. Aborts on failure. */
void credentials_create(struct credentials *credentials, const char *name, int64_t valid_s);

/* Put new ones in the place of the old. */
void credentials_replace(struct credentials *credentials, const char *name, int64_t valid_s);

/* A key and a certificate that `authority` signed: who trusts that one takes this. */
void credentials_create_signed(struct credentials *credentials, const char *name, int64_t valid_s,
                               const struct credentials *authority);

/* Remove the files and the folder. */
void credentials_remove(struct credentials *credentials);

#endif
