#include "cluster_rescue.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const char VERIFY_PATH[] = "/api/v1/admin/cluster/verify";

static int fail(const struct error *error)
{
    fprintf(stderr, "gnomon cluster: %s\n", error->message);
    return 1;
}

static const char *text_in(json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text == NULL ? "" : text;
}

static long long number_in(json_t *object, const char *name)
{
    return (long long)json_integer_value(json_object_get(object, name));
}

/* --- Verifying ------------------------------------------------------------------------------- */

static void print_replica(json_t *replica, long long shard)
{
    json_t *name;
    size_t i;
    if (json_object_get(replica, "error") != NULL)
        printf("shard %lld on %s could not be read: %s\n", shard, text_in(replica, "node"),
               text_in(replica, "error"));
    json_array_foreach(json_object_get(replica, "damaged"), i, name)
    {
        printf("shard %lld on %s: %s is damaged; it is fetched from another replica\n", shard,
               text_in(replica, "node"), json_string_value(name));
    }
}

static void print_difference(json_t *difference, long long shard)
{
    json_t *node;
    size_t i;
    printf("shard %lld: %s differs between", shard, text_in(difference, "what"));
    json_array_foreach(json_object_get(difference, "nodes"), i, node)
    {
        printf("%s %s", i == 0 ? "" : " and", json_string_value(node));
    }
    printf("\n");
}

static void print_found(json_t *found)
{
    json_t *shard, *element;
    size_t i, k;
    json_array_foreach(found, i, shard)
    {
        long long number = number_in(shard, "shard");
        json_array_foreach(json_object_get(shard, "replicas"), k, element)
        {
            print_replica(element, number);
        }
        json_array_foreach(json_object_get(shard, "differences"), k, element)
        {
            print_difference(element, number);
        }
    }
}

static void show_progress(json_t *look)
{
    if (isatty(STDERR_FILENO))
        fprintf(stderr, "\r%lld of %lld shards, %lld files, %.1f MiB",
                number_in(look, "shardsDone"), number_in(look, "shards"), number_in(look, "files"),
                (double)number_in(look, "bytes") / (1 << 20));
}

static int conclude(json_t *look, json_t *all, enum cluster_printing printing)
{
    bool is_sound = strcmp(text_in(look, "state"), "done") == 0 && number_in(look, "unsound") == 0;
    if (isatty(STDERR_FILENO))
        fprintf(stderr, "\n");
    if (printing == CLUSTER_PRINTS_JSON) {
        json_object_set(look, "found", all);
        json_dumpf(look, stdout, JSON_INDENT(2));
        printf("\n");
        return !is_sound;
    }
    print_found(all);
    printf("%lld shards, %lld files, %lld bytes of all replicas read: %s\n",
           number_in(look, "shardsDone"), number_in(look, "files"), number_in(look, "bytes"),
           is_sound                                      ? "sound and equal"
           : strcmp(text_in(look, "state"), "done") == 0 ? "NOT SOUND"
                                                         : "CANCELLED");
    return !is_sound;
}

int cluster_verify(const struct node_client *client, enum cluster_printing printing)
{
    json_t *look, *all = json_array();
    struct error error;
    enum error_code code = node_client_post_for(client, VERIFY_PATH, "", &look, &error);
    while (code == ERROR_NONE) {
        char path[128];
        bool is_over = strcmp(text_in(look, "state"), "running") != 0;
        /* One look has a piece of the list; what is missing comes with the next. */
        json_array_extend(all, json_object_get(look, "found"));
        is_over &= (long long)json_array_size(all) >= number_in(look, "shardsDone");
        show_progress(look);
        if (is_over) {
            int outcome = conclude(look, all, printing);
            json_decref(look);
            json_decref(all);
            return outcome;
        }
        json_decref(look);
        usleep(300 * 1000);
        snprintf(path, sizeof path, "%s?first=%zu", VERIFY_PATH, json_array_size(all));
        code = node_client_get(client, path, &look, &error);
    }
    json_decref(all);
    return fail(&error);
}

/* --- Recovering ------------------------------------------------------------------------------ */

static const char *format_time(json_t *object, const char *name, char *target, size_t size)
{
    json_t *seconds = json_object_get(object, name);
    struct tm parts;
    time_t time = (time_t)json_integer_value(seconds);
    if (seconds == NULL || gmtime_r(&time, &parts) == NULL ||
        strftime(target, size, "%Y-%m-%d %H:%M:%SZ", &parts) == 0)
        snprintf(target, size, "unknown");
    return target;
}

static void print_candidates(json_t *answer)
{
    char entry[32], sample[32];
    json_t *replica;
    size_t i;
    printf("%-16s %12s %16s %12s %12s  %-20s  %-20s\n", "REPLICA ON", "LAST ENTRY", "TERM",
           "COMMITTED", "APPLIED", "NEWEST ENTRY", "NEWEST SAMPLE");
    json_array_foreach(json_object_get(answer, "replicas"), i, replica)
    {
        printf("%-16s %12lld %16lld %12lld %12lld  %-20s  %-20s\n", text_in(replica, "node"),
               number_in(replica, "lastIndex"), number_in(replica, "lastTerm"),
               number_in(replica, "commitIndex"), number_in(replica, "appliedIndex"),
               format_time(replica, "newestEntryTime", entry, sizeof entry),
               format_time(replica, "newestSampleTime", sample, sizeof sample));
    }
}

static void print_loss(json_t *answer, const char *shard)
{
    char from[32];
    json_t *node;
    size_t i;
    printf("\nvoters that do not answer:");
    json_array_foreach(json_object_get(answer, "silent"), i, node)
    {
        printf(" %s", json_string_value(node));
    }
    printf("\n%s has the most complete replica of %s. What the others acknowledged after its last "
           "entry\n(%s) is lost",
           text_in(answer, "chosen"), shard,
           format_time(answer, "lostFromTime", from, sizeof from));
    if (number_in(answer, "entriesKnownLost") > 0)
        printf(", at least %lld entries", number_in(answer, "entriesKnownLost"));
    printf("; how much that is can't be known.\n");
}

int cluster_recover(const struct node_client *client, const char *shard,
                    enum cluster_consent consent)
{
    char form[256];
    json_t *answer;
    struct error error;
    char *escaped = node_client_escape(shard);
    snprintf(form, sizeof form, "shard=%s%s", escaped == NULL ? "" : escaped,
             consent == CLUSTER_RECOVERS ? "&confirm=true" : "");
    free(escaped);
    if (node_client_post_for(client, "/api/v1/admin/cluster/recover-quorum", form, &answer,
                             &error) != ERROR_NONE)
        return fail(&error);
    const char *outcome = text_in(answer, "outcome");
    bool refused = strcmp(outcome, "refused") == 0;
    print_candidates(answer);
    if (refused)
        printf("\nnot possible: %s\n", text_in(answer, "reason"));
    else
        print_loss(answer, shard);
    if (strcmp(outcome, "possible") == 0)
        printf(
            "\nNothing was changed. First bring the nodes back, if that can be; if they are gone "
            "for good, the same\ncommand with --yes has %s go on alone. They must not come back "
            "with their directories.\n",
            text_in(answer, "chosen"));
    else if (!refused)
        printf("\n%s leads %s now, alone; replicas are added as nodes are there.\n",
               text_in(answer, "chosen"), shard);
    json_decref(answer);
    return refused;
}
