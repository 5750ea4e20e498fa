/* Connections, and one HTTP request over a Unix socket, whose answer 101 makes the connection a
 * ring, followed by the descriptor of its memory. */
#define _GNU_SOURCE /* NOLINT(bugprone-reserved-identifier): the C library's own switch */
#include "connect.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <skerry/ring_layout.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

enum { kMaxAnswerBytes = 16384 };

static int complain(char* reason, size_t reason_bytes, int status, const char* what,
                    const char* why) {
  snprintf(reason, reason_bytes, "%s%s%s", what, why[0] ? ": " : "", why);
  return status;
}

/* sockaddr_un holds 107 bytes: a longer path goes through its folder's descriptor, which *folder
 * keeps open. */
static int address_of(const char* path, struct sockaddr_un* address, int* folder) {
  memset(address, 0, sizeof *address);
  address->sun_family = AF_UNIX;
  *folder = -1;
  if (strlen(path) < sizeof address->sun_path) {
    strcpy(address->sun_path, path);
    return 1;
  }
  const char* name = strrchr(path, '/');
  char* parent = name ? strndup(path, (size_t)(name - path)) : NULL;
  if (!parent) return 0;
  *folder = open(parent, O_PATH | O_DIRECTORY | O_CLOEXEC);
  free(parent);
  const int length =
      snprintf(address->sun_path, sizeof address->sun_path, "/proc/self/fd/%d%s", *folder, name);
  return *folder >= 0 && length > 0 && (size_t)length < sizeof address->sun_path;
}

/* Waits that long for the connection, and as long for what is received on it while a ring opens. */
static void limit_waits(int fd, int32_t timeout_ms) {
  const struct timeval limit = {timeout_ms / 1000, timeout_ms % 1000 * 1000};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
}

/* Closes it where there is no connection, and keeps the reason. */
static int connected(int fd, const struct sockaddr* address, socklen_t size, int32_t timeout_ms) {
  if (fd < 0) return -1;
  limit_waits(fd, timeout_ms);
  if (connect(fd, address, size) == 0) return fd;
  const int error = errno == EINPROGRESS ? ETIMEDOUT : errno;
  close(fd);
  errno = error;
  return -1;
}

static int connect_to(const char* path, int32_t timeout_ms) {
  struct sockaddr_un address;
  int folder = -1;
  const int is_path = address_of(path, &address, &folder);
  const int fd = connected(is_path ? socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0) : -1,
                           (const struct sockaddr*)&address, sizeof address, timeout_ms);
  const int error = errno;
  if (folder >= 0) close(folder);
  errno = error;
  return fd;
}

int skerry_connect_unix(const char* path, int32_t timeout_ms) {
  const int fd = connect_to(path, timeout_ms);
  if (fd >= 0) limit_waits(fd, 0);
  return fd;
}

int skerry_connect_tcp(const char* host, const char* port, int32_t timeout_ms) {
  const struct addrinfo wanted = {.ai_socktype = SOCK_STREAM};
  struct addrinfo* found = NULL;
  if (getaddrinfo(host, port, &wanted, &found) != 0) {
    errno = EHOSTUNREACH;
    return -1;
  }
  int fd = -1;
  for (const struct addrinfo* each = found; each && fd < 0; each = each->ai_next) {
    fd = connected(socket(each->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0), each->ai_addr,
                   each->ai_addrlen, timeout_ms);
  }
  const int error = errno;
  freeaddrinfo(found);
  errno = error;
  if (fd < 0) return -1;
  const int yes = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
  limit_waits(fd, 0);
  return fd;
}

/* Reads on, and takes a descriptor that comes with the bytes. */
static ssize_t receive(int fd, char* to, size_t size, int* descriptor) {
  union {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(sizeof(int))];
  } control;
  struct iovec part = {to, size};
  struct msghdr message = {.msg_iov = &part,
                           .msg_iovlen = 1,
                           .msg_control = control.bytes,
                           .msg_controllen = sizeof control.bytes};
  ssize_t count;
  do {
    count = recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
  } while (count < 0 && errno == EINTR);
  struct cmsghdr* header = count > 0 ? CMSG_FIRSTHDR(&message) : NULL;
  if (header && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS &&
      header->cmsg_len >= CMSG_LEN(sizeof(int)) && *descriptor < 0) {
    memcpy(descriptor, CMSG_DATA(header), sizeof(int));
  }
  return count;
}

/* What the service says in {"error":"…"}, without the marks of JSON. */
static void take_reason(const char* body, char* reason, size_t reason_bytes) {
  const char* text = strstr(body, "\"error\":\"");
  size_t size = 0;
  for (text = text ? text + 9 : body; *text && *text != '"' && size + 1 < reason_bytes; ++text) {
    if (*text == '\\' && text[1]) ++text;
    reason[size++] = *text;
  }
  if (reason_bytes > 0) reason[size] = '\0';
}

static int status_of(int http) {
  switch (http) {
    case 400:
      return SKERRY_STATUS_INVALID_ARGUMENT;
    case 401:
      return SKERRY_STATUS_UNAUTHENTICATED;
    case 403:
      return SKERRY_STATUS_PERMISSION_DENIED;
    case 404:
      return SKERRY_STATUS_UNSUPPORTED; /* a service without rings */
    case 429:
    case 503:
      return SKERRY_STATUS_RESOURCE_EXHAUSTED;
    default:
      return SKERRY_STATUS_INTERNAL;
  }
}

static size_t body_bytes(const char* head) {
  const char* length = strcasestr(head, "\r\nContent-Length:");
  return length ? strtoul(length + 17, NULL, 10) : 0;
}

/* The answer to the request that was sent. */
static int read_answer(int fd, int* descriptor, char* reason, size_t reason_bytes) {
  char answer[kMaxAnswerBytes + 1];
  size_t size = 0;
  for (;;) {
    const ssize_t count = receive(fd, answer + size, kMaxAnswerBytes - size, descriptor);
    if (count <= 0) {
      return complain(reason, reason_bytes, SKERRY_STATUS_UNAVAILABLE,
                      "the inference service does not answer", count < 0 ? strerror(errno) : "");
    }
    size += (size_t)count;
    answer[size] = '\0';
    const char* end = strstr(answer, "\r\n\r\n");
    int http = 0;
    if (end && sscanf(answer, "HTTP/1.%*d %d", &http) != 1) break;
    if (end && http == 101) {
      if (*descriptor >= 0) return SKERRY_STATUS_OK;
    } else if (end && size >= (size_t)(end + 4 - answer) + body_bytes(answer)) {
      take_reason(end + 4, reason, reason_bytes);
      return status_of(http);
    }
    if (size == kMaxAnswerBytes) break;
  }
  return complain(reason, reason_bytes, SKERRY_STATUS_INTERNAL,
                  "what answers there is no inference service", "");
}

const char* skerry_token(const char* token) {
  if (!token) token = getenv("SKERRY_INFER_TOKEN");
  return token && token[0] ? token : NULL;
}

int skerry_is_token(const char* token) {
  for (; *token; ++token) {
    if (*token <= ' ' || *token >= 127) return 0;
  }
  return 1;
}

static int ask(int fd, const char* token, const char* target, int* descriptor, char* reason,
               size_t reason_bytes) {
  char request[4096];
  const int size = snprintf(request, sizeof request,
                            "GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: "
                            "%s\r\n%s%s%s\r\n",
                            target, SKERRY_RING_PROTOCOL, token ? "Authorization: Bearer " : "",
                            token ? token : "", token ? "\r\n" : "");
  if (size < 0 || (size_t)size >= sizeof request || (token && !skerry_is_token(token))) {
    return complain(reason, reason_bytes, SKERRY_STATUS_INVALID_ARGUMENT,
                    "a token is one line of printable ASCII", "");
  }
  if (send(fd, request, (size_t)size, MSG_NOSIGNAL) != size) {
    return complain(reason, reason_bytes, SKERRY_STATUS_UNAVAILABLE,
                    "the inference service cannot be asked", strerror(errno));
  }
  return read_answer(fd, descriptor, reason, reason_bytes);
}

int skerry_connect(const char* socket_path, const char* token, const char* target,
                   int32_t timeout_ms, struct Opened* opened, char* reason, size_t reason_bytes) {
  opened->descriptor = -1;
  opened->socket = socket_path ? connect_to(socket_path, timeout_ms) : -1;
  if (opened->socket < 0) {
    return complain(reason, reason_bytes, SKERRY_STATUS_UNAVAILABLE,
                    "the inference service cannot be reached",
                    socket_path ? strerror(errno) : "options name no socket");
  }
  const int status =
      ask(opened->socket, skerry_token(token), target, &opened->descriptor, reason, reason_bytes);
  const struct timeval never = {0, 0};
  setsockopt(opened->socket, SOL_SOCKET, SO_RCVTIMEO, &never, sizeof never);
  if (status != SKERRY_STATUS_OK && opened->descriptor >= 0) close(opened->descriptor);
  return status;
}
