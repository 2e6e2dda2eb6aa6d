/* The floor under every server: a loop in C that sends the same frames to the same clients.
 *
 * Every step it copies the frames that are due from a sample of one frame for each symbol, writes
 * number and time into them and sends them to each client in one call. scripts/benchmark/cloop.py
 * compiles and starts it; it says `window` and `done NANOSECONDS_LATE` on stdout.
 */

#define _GNU_SOURCE
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

enum { ARGUMENTS = 12, NUMBER_DIGITS = 12, TIME_DIGITS = 19, LONGEST_STEPS = 4 };

static int64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static void sleep_until(int64_t at_ns) {
    struct timespec at = {at_ns / 1000000000, at_ns % 1000000000};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) != 0) {
    }
}

static void write_digits(char *to, int64_t value, int digits) {
    while (digits-- > 0) {
        to[digits] = (char)('0' + value % 10);
        value /= 10;
    }
}

static void send_all(int fd, const char *data, size_t size) {
    while (size > 0) {
        ssize_t sent = send(fd, data, size, MSG_NOSIGNAL);
        if (sent <= 0) {
            perror("send");
            exit(1);
        }
        data += sent;
        size -= (size_t)sent;
    }
}

static void *taken(void *memory) {
    if (memory == NULL) {
        fputs("no memory\n", stderr);
        exit(1);
    }
    return memory;
}

int main(int argc, char **argv) {
    if (argc != ARGUMENTS) {
        fputs("usage: loop SAMPLE SIZE SYMBOLS NUMBER_AT TIME_AT RATE FIRST LAST STEP_NS LISTENER "
              "CLIENTS\n", stderr);
        return 2;
    }
    const size_t size = strtoul(argv[2], NULL, 10);
    const int64_t symbols = atoll(argv[3]), number_at = atoll(argv[4]), time_at = atoll(argv[5]);
    const int64_t rate = atoll(argv[6]), first = atoll(argv[7]), last = atoll(argv[8]);
    const int64_t step_ns = atoll(argv[9]);
    const int listener = atoi(argv[10]), clients = atoi(argv[11]);
    const int64_t most = rate * step_ns / 1000000000 * LONGEST_STEPS + 1;

    char *sample = taken(malloc(size * (size_t)symbols));
    char *burst = taken(malloc(size * (size_t)most));
    FILE *file = fopen(argv[1], "rb");
    if (file == NULL || fread(sample, size, (size_t)symbols, file) != (size_t)symbols) {
        fputs("the sample cannot be read\n", stderr);
        return 1;
    }
    fclose(file);
    int *socks = taken(malloc(sizeof *socks * (size_t)clients));
    for (int index = 0; index < clients; index++) {
        const int on = 1;
        socks[index] = accept(listener, NULL, NULL);
        if (socks[index] < 0 || setsockopt(socks[index], IPPROTO_TCP, TCP_NODELAY, &on, sizeof on)) {
            perror("accept");
            return 1;
        }
    }
    if (getchar() == EOF) return 1; /* the word to start */

    int64_t at = 0, latest_ns = 0;
    const int64_t start_ns = now_ns();
    for (int64_t step = 1; at < last; step++) {
        sleep_until(start_ns + step * step_ns);
        const int64_t elapsed_ns = now_ns() - start_ns;
        const int64_t all_due = (int64_t)((__int128)elapsed_ns * rate / 1000000000);
        int64_t due = all_due < last ? all_due : last;
        while (at < due) {
            int64_t until = due < at + most ? due : at + most;
            if (at < first && first < until) until = first;
            if (at == first) {
                puts("window");
                fflush(stdout);
            }
            if (at >= first) {
                const int64_t late_ns = elapsed_ns - (int64_t)((__int128)at * 1000000000 / rate);
                if (late_ns > latest_ns) latest_ns = late_ns;
            }
            char *to = burst;
            for (; at < until; at++, to += size) {
                memcpy(to, sample + size * (size_t)(at % symbols), size);
                write_digits(to + number_at, at, NUMBER_DIGITS);
                write_digits(to + time_at, now_ns(), TIME_DIGITS);
            }
            for (int index = 0; index < clients; index++) {
                send_all(socks[index], burst, (size_t)(to - burst));
            }
        }
    }
    printf("done %lld\n", (long long)latest_ns);
    fflush(stdout);
    while (getchar() != EOF) { /* it is looked at until its leash ends */
    }
    return 0;
}
