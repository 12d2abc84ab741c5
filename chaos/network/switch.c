/*
 * switch - carries packets between network namespaces, and delays or loses them on the way, each
 * direction of each pair by itself. What netem does, on kernels that have none.
 *
 *     chaos_switch SEED ADDRESS=NAMESPACE...
 *
 * makes a TUN device `chaos0` in each namespace (a file as below /run/netns; `-` is its own) and
 * says `ready`. Then it obeys lines on its input, and answers each with `ok` or `error ...`:
 *
 *     path FROM TO DELAY_US JITTER_US LOSS_PPM    FROM and TO are places among the arguments, from
 * 0 clear                                       no delay, no loss anywhere counts packets carried,
 * lost, dropped since the start
 *
 * A packet is never overtaken by a later one of its direction. It ends with its input.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

enum {
    PORTS_MAX = 16,
    PACKET_BYTES_MAX = 65535 + 64, /* and the header of the device */
    HEADER_BYTES = 10,             /* struct virtio_net_hdr: what the device leaves undone */
    DESTINATION_OFFSET = 16,       /* of an IPv4 header */
    WAITING_BYTES_MAX = 64 << 20,  /* of all packets that are delayed */
    LOSS_CERTAIN_PPM = 1000000,
    BURST = 64, /* packets taken of a port before others have their turn */
};

#define NS_PER_SECOND INT64_C(1000000000)
#define NS_PER_US     INT64_C(1000)

struct packet {
    struct packet *next;
    int64_t release_ns;
    size_t size_bytes;
    uint8_t bytes[];
};

struct path {
    int64_t delay_ns;
    int64_t jitter_ns;
    uint32_t loss_ppm;
    struct packet *first; /* delayed, in the order they came */
    struct packet *last;
};

struct port {
    int device;
    uint32_t address; /* as in a packet */
};

struct network {
    struct port ports[PORTS_MAX];
    struct path paths[PORTS_MAX][PORTS_MAX]; /* [from][to] */
    size_t port_count;
    size_t waiting_bytes;
    uint64_t random;
    uint64_t carried_count;
    uint64_t lost_count;
    uint64_t dropped_count; /* no room, or nobody has the address */
};

/* --- Time and chance ---------------------------------------- */

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * NS_PER_SECOND + now.tv_nsec;
}

/* splitmix64 */
static uint64_t random_next(struct network *network)
{
    uint64_t mixed = network->random += UINT64_C(0x9e3779b97f4a7c15);
    mixed = (mixed ^ (mixed >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    mixed = (mixed ^ (mixed >> 27)) * UINT64_C(0x94d049bb133111eb);
    return mixed ^ (mixed >> 31);
}

/* --- Devices ------------------------------------------------ */

static void fail(const char *what)
{
    fprintf(stderr, "chaos_switch: %s: %s\n", what, strerror(errno));
    exit(1);
}

static int device_open(void)
{
    int device = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (device < 0)
        fail("/dev/net/tun");
    struct ifreq request = {.ifr_flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR};
    snprintf(request.ifr_name, sizeof request.ifr_name, "chaos0");
    if (ioctl(device, TUNSETIFF, &request) != 0)
        fail("make a device");
    int header_bytes = HEADER_BYTES;
    if (ioctl(device, TUNSETVNETHDRSZ, &header_bytes) != 0)
        fail("size of the device's header");
    /* Large segments and sums that nobody has made yet pass as they are: both ends are such
     * devices. */
    if (ioctl(device, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4) != 0)
        fail("offloads of a device");
    return device;
}

/* `place` is ADDRESS=NAMESPACE. */
static void port_open(struct port *port, const char *place, int own_namespace)
{
    char address[INET_ADDRSTRLEN] = "";
    const char *separator = strchr(place, '=');
    if (separator != NULL)
        snprintf(address, sizeof address, "%.*s", (int)(separator - place), place);
    struct in_addr parsed;
    if (inet_pton(AF_INET, address, &parsed) != 1) {
        errno = EINVAL;
        fail(place);
    }
    port->address = parsed.s_addr;
    const char *path = separator + 1;
    if (strcmp(path, "-") == 0) {
        port->device = device_open();
        return;
    }
    int other = open(path, O_RDONLY | O_CLOEXEC);
    if (other < 0 || setns(other, CLONE_NEWNET) != 0)
        fail(path);
    close(other);
    port->device = device_open();
    if (setns(own_namespace, CLONE_NEWNET) != 0)
        fail("come back");
}

/* --- Packets ------------------------------------------------ */

static void packet_deliver(struct network *network, size_t to, const uint8_t *bytes, size_t size)
{
    /* A full queue of the device loses the packet, as a network would. */
    if (write(network->ports[to].device, bytes, size) == (ssize_t)size)
        network->carried_count++;
    else
        network->dropped_count++;
}

static void packet_delay(struct network *network, size_t from, size_t to, const uint8_t *bytes,
                         size_t size)
{
    struct path *path = &network->paths[from][to];
    struct packet *packet = NULL;
    if (network->waiting_bytes + size <= WAITING_BYTES_MAX)
        packet = malloc(sizeof *packet + size);
    if (packet == NULL) {
        network->dropped_count++;
        return;
    }
    int64_t jitter_ns = 0;
    if (path->jitter_ns > 0)
        jitter_ns = (int64_t)(random_next(network) % (uint64_t)path->jitter_ns);
    packet->next = NULL;
    packet->release_ns = now_ns() + path->delay_ns + jitter_ns;
    packet->size_bytes = size;
    memcpy(packet->bytes, bytes, size);
    network->waiting_bytes += size;
    if (path->last == NULL) {
        path->first = packet;
    } else {
        if (packet->release_ns < path->last->release_ns)
            packet->release_ns = path->last->release_ns;
        path->last->next = packet;
    }
    path->last = packet;
}

static void packet_take(struct network *network, size_t from, const uint8_t *bytes, size_t size)
{
    const uint8_t *header = bytes + HEADER_BYTES;
    if (size < HEADER_BYTES + DESTINATION_OFFSET + 4 || header[0] >> 4 != 4)
        return; /* IPv6 looks for neighbours when a device comes up */
    uint32_t destination;
    memcpy(&destination, header + DESTINATION_OFFSET, sizeof destination);
    for (size_t to = 0; to < network->port_count; to++) {
        if (network->ports[to].address != destination)
            continue;
        struct path *path = &network->paths[from][to];
        if (path->loss_ppm > 0 && random_next(network) % LOSS_CERTAIN_PPM < path->loss_ppm)
            network->lost_count++;
        else if (path->first != NULL || path->delay_ns > 0 || path->jitter_ns > 0)
            packet_delay(network, from, to, bytes, size);
        else
            packet_deliver(network, to, bytes, size);
        return;
    }
    network->dropped_count++;
}

static void port_drain(struct network *network, size_t from)
{
    static uint8_t bytes[PACKET_BYTES_MAX];
    for (int i = 0; i < BURST; i++) {
        ssize_t size = read(network->ports[from].device, bytes, sizeof bytes);
        if (size <= 0)
            return;
        packet_take(network, from, bytes, (size_t)size);
    }
}

/* Delivers what is due; returns nanoseconds until the next is, or -1 when nothing waits. */
static int64_t packets_release(struct network *network)
{
    int64_t wait_ns = -1;
    if (network->waiting_bytes == 0)
        return wait_ns;
    int64_t now = now_ns();
    for (size_t from = 0; from < network->port_count; from++) {
        for (size_t to = 0; to < network->port_count; to++) {
            struct path *path = &network->paths[from][to];
            while (path->first != NULL && path->first->release_ns <= now) {
                struct packet *packet = path->first;
                path->first = packet->next;
                if (path->first == NULL)
                    path->last = NULL;
                packet_deliver(network, to, packet->bytes, packet->size_bytes);
                network->waiting_bytes -= packet->size_bytes;
                free(packet);
            }
            if (path->first != NULL) {
                int64_t left_ns = path->first->release_ns - now;
                wait_ns = wait_ns < 0 || left_ns < wait_ns ? left_ns : wait_ns;
            }
        }
    }
    return wait_ns;
}

/* --- Commands ----------------------------------------------- */

static bool path_change(struct network *network, const char *line)
{
    size_t from, to;
    int64_t delay_us, jitter_us;
    uint32_t loss_ppm;
    if (sscanf(line, "path %zu %zu %" SCNd64 " %" SCNd64 " %" SCNu32, &from, &to, &delay_us,
               &jitter_us, &loss_ppm) != 5)
        return false;
    if (from >= network->port_count || to >= network->port_count || delay_us < 0 || jitter_us < 0)
        return false;
    struct path *path = &network->paths[from][to];
    path->delay_ns = delay_us * NS_PER_US;
    path->jitter_ns = jitter_us * NS_PER_US;
    path->loss_ppm = loss_ppm;
    return true;
}

static void command_obey(struct network *network, const char *line)
{
    if (strcmp(line, "clear\n") == 0) {
        for (size_t from = 0; from < network->port_count; from++) {
            for (size_t to = 0; to < network->port_count; to++) {
                struct path *path = &network->paths[from][to];
                path->delay_ns = path->jitter_ns = 0;
                path->loss_ppm = 0;
            }
        }
    } else if (strcmp(line, "counts\n") == 0) {
        printf("%" PRIu64 " %" PRIu64 " %" PRIu64 " ", network->carried_count, network->lost_count,
               network->dropped_count);
    } else if (!path_change(network, line)) {
        printf("error not a command\n");
        return;
    }
    printf("ok\n");
}

/* Returns false at the end of the input. Lines are short and written whole. */
static bool commands_read(struct network *network)
{
    static char line[256];
    static size_t size;
    ssize_t more = read(STDIN_FILENO, line + size, sizeof line - 1 - size);
    if (more <= 0)
        return more < 0 && errno == EINTR;
    size += (size_t)more;
    line[size] = '\0';
    char *end;
    while ((end = strchr(line, '\n')) != NULL) {
        char next = end[1];
        end[1] = '\0';
        command_obey(network, line);
        end[1] = next;
        size -= (size_t)(end + 1 - line);
        memmove(line, end + 1, size + 1);
    }
    fflush(stdout);
    return size < sizeof line - 1;
}

int main(int argument_count, char **arguments)
{
    static struct network network;
    if (argument_count < 3 || argument_count - 2 > PORTS_MAX) {
        fprintf(stderr, "chaos_switch SEED ADDRESS=NAMESPACE...\n");
        return 2;
    }
    network.random = strtoull(arguments[1], NULL, 10);
    int own_namespace = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    if (own_namespace < 0)
        fail("own namespace");
    for (int i = 2; i < argument_count; i++)
        port_open(&network.ports[network.port_count++], arguments[i], own_namespace);
    printf("ready\n");
    fflush(stdout);

    struct pollfd polled[PORTS_MAX + 1];
    for (size_t i = 0; i < network.port_count; i++)
        polled[i] = (struct pollfd){.fd = network.ports[i].device, .events = POLLIN};
    struct pollfd *input = &polled[network.port_count];
    *input = (struct pollfd){.fd = STDIN_FILENO, .events = POLLIN};
    for (;;) {
        int64_t wait_ns = packets_release(&network);
        struct timespec wait = {.tv_sec = wait_ns / NS_PER_SECOND,
                                .tv_nsec = wait_ns % NS_PER_SECOND};
        if (ppoll(polled, network.port_count + 1, wait_ns < 0 ? NULL : &wait, NULL) < 0 &&
            errno != EINTR)
            fail("poll");
        for (size_t i = 0; i < network.port_count; i++) {
            if (polled[i].revents != 0)
                port_drain(&network, i);
        }
        if (input->revents != 0 && !commands_read(&network))
            return 0;
    }
}
