#include "password.h"

#include <crypt.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

enum { HASH_PREFIX_SIZE = 7, HASH_SALT_SIZE = 22, HASH_DIGEST_SIZE = 31 };
_Static_assert(HASH_PREFIX_SIZE + HASH_SALT_SIZE + HASH_DIGEST_SIZE == PASSWORD_HASH_SIZE,
               "its three parts");

static bool is_digit(char character)
{
    return character >= '0' && character <= '9';
}

bool password_hash_is_valid(struct text hash)
{
    static const char ALPHABET[] =
        "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    const char *data = hash.data;
    if (hash.size != PASSWORD_HASH_SIZE || data[0] != '$' || data[1] != '2' || data[3] != '$' ||
        data[6] != '$' || !is_digit(data[4]) || !is_digit(data[5]))
        return false;
    int cost = (data[4] - '0') * 10 + data[5] - '0';
    if ((data[2] != 'a' && data[2] != 'b' && data[2] != 'y') || cost < PASSWORD_COST_MIN ||
        cost > PASSWORD_COST_MAX)
        return false;
    for (size_t i = HASH_PREFIX_SIZE; i < hash.size; i++)
        if (data[i] == '\0' || strchr(ALPHABET, data[i]) == NULL)
            return false;
    return true;
}

bool password_matches(const char *password, const char *hash)
{
    struct crypt_data *data = calloc(1, sizeof *data);
    if (data == NULL)
        return false;
    const char *made = crypt_r(password, hash, data);
    /* The digest only: the last bits of the salt are without meaning, and crypt clears them. */
    bool is_equal =
        made != NULL && strlen(made) == PASSWORD_HASH_SIZE &&
        CRYPTO_memcmp(made + PASSWORD_HASH_SIZE - HASH_DIGEST_SIZE,
                      hash + PASSWORD_HASH_SIZE - HASH_DIGEST_SIZE, HASH_DIGEST_SIZE) == 0;
    explicit_bzero(data, sizeof *data);
    free(data);
    return is_equal;
}
