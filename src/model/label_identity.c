#include "model/label_identity.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/random.h>

static uint64_t process_seed;
static pthread_once_t seeded = PTHREAD_ONCE_INIT;

static void seed_make(void)
{
    if (getrandom(&process_seed, sizeof process_seed, 0) != sizeof process_seed)
        abort(); /* not for so few bytes */
}

struct hash128 label_pair_identity(struct text encoded)
{
    pthread_once(&seeded, seed_make);
    return hash128(encoded.data, encoded.size, process_seed);
}

struct hash128 labels_identity(struct labels labels)
{
    struct hash128 identity = {0};
    struct labels_cursor cursor = labels_begin(labels);
    struct label label;
    const uint8_t *start = cursor.reader.position;
    while (labels_next(&cursor, &label)) {
        const uint8_t *end = cursor.reader.position;
        label_identity_add(&identity, label_pair_identity((struct text){(const char *)start,
                                                                        (size_t)(end - start)}));
        start = end;
    }
    return identity;
}
