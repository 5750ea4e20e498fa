/* Connections, and what the service sends with the one of a ring. Inside of the library. */
#ifndef SKERRY_CLIENT_CONNECT_H_
#define SKERRY_CLIENT_CONNECT_H_

#include <stddef.h>
#include <stdint.h>

struct Opened {
  int socket;     /* -1: none; the caller's to close in any case */
  int descriptor; /* of the memory; the caller's to close after success */
};

/* SKERRY_STATUS_OK, or another and the reason as text. `token`: NULL takes the environment's. */
int skerry_connect(const char* socket_path, const char* token, const char* target,
                   int32_t timeout_ms, struct Opened* opened, char* reason, size_t reason_bytes);

/* A connection, whose waits have no limit; -1: none, and errno says why. */
int skerry_connect_unix(const char* path, int32_t timeout_ms);
int skerry_connect_tcp(const char* host, const char* port, int32_t timeout_ms);

/* `token`, or the environment's where it is NULL; NULL: none. */
const char* skerry_token(const char* token);
/* Whether it fits into a line of HTTP. */
int skerry_is_token(const char* token);

#endif /* SKERRY_CLIENT_CONNECT_H_ */
