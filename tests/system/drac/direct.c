/* direct HOST PORT udp|tcp ADDRESS [COUNT]: adds an address without a portmapper, COUNT times by one handle;
   with AUTH_SYS credentials when AUTHSYS is in the environment.  Ends as mapped does. */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "interface.h"

int main(int count, char **words) {
  struct sockaddr_in server = {.sin_family = AF_INET};
  struct timeval wait = {1, 0};
  int socket = RPC_ANYSOCK, times = count > 5 ? atoi(words[5]) : 1, status = 0;
  if (count < 5) return 64;
  int isV6 = strchr(words[4], ':') != NULL, version = isV6 ? DRACX_V6 : DRACX_V4;
  server.sin_addr.s_addr = inet_addr(words[1]);
  server.sin_port = htons(atoi(words[2]));
  CLIENT *client = strcmp(words[3], "udp") ? clnttcp_create(&server, DRACX, version, &socket, 0, 0)
                                           : clntudp_create(&server, DRACX, version, wait, &socket);
  if (!client) {
    clnt_pcreateerror(words[1]);
    return 10;
  }
  if (getenv("AUTHSYS")) client->cl_auth = authunix_create_default();
  while (times--) {
    rstat *answer;
    if (isV6) {
      v6arg given;
      inet_pton(AF_INET6, words[4], given.addr);
      answer = addr_add_2(&given, client);
    } else {
      v4arg given = {ntohl(inet_addr(words[4]))};
      answer = addr_add_1(&given, client);
    }
    if (!answer) {
      clnt_perror(client, "call");
      return 11;
    }
    printf("status %d\n", status = *answer);
  }
  clnt_destroy(client);
  return status;
}
