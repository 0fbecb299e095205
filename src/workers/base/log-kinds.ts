/**
 * Every kind of message of warning and above, which a log can be searched for by its name or its MESSAGE_ID, and what it
 * tells an administrator. Names and ids never change; what is no longer said leaves the table, and its id is not used
 * again. `npm run generate` writes docs/log-messages.md and packaging/systemd/virtbroker.catalog from it.
 */

interface Explained {
  readonly level: 'warning' | 'error'
  /** A random UUID without dashes. */
  readonly id: string
  /** What has happened, in a line. */
  readonly subject: string
  /** What follows from it. */
  readonly meaning: string
  readonly advice: string
}

const kind =
  (level: Explained['level']) =>
    (id: string, subject: string, meaning: string, advice: string): Explained => ({ level, id, subject, meaning, advice })
const warning = kind('warning')
const error = kind('error')

export const MESSAGE_KINDS = {
  // The broker itself

  'start-failed': error(
    '095f8bfd7d49411c9f2e6ee6a3108c39',
    'The broker does not start',
    'The text is the reason: a key of the configuration, a file, a socket that is taken.',
    'Put it right; `virtbrokerd --check-config` says more. The exit code is told in docs/service.md.'
  ),
  'configuration-doubtful': warning(
    'b58998afdf54424ca20d31b6356bbb1d',
    'The configuration has something that hardly anybody wants',
    'It is used as it is: authentication that nobody can pass, a path where nothing is, or a file in a place that others can write to.',
    'Change what the text names, or leave it if it is meant.'
  ),
  'reload-failed': error(
    '646b3d6272a4403a9665d55332730e44',
    'The configuration was not loaded anew',
    "Something of the file, the certificates or the log's files cannot be used. Nothing has changed.",
    'Put right what the text names, and reload again.'
  ),
  'restart-needed': warning(
    'f1aa181eb16942a7822512cace2512be',
    'Keys have changed that need a restart',
    'All else that has changed is in use.',
    'Restart the broker when it suits.'
  ),
  'descriptor-limit': warning(
    '0568a36105b04157998a6584dec523ba',
    'The limit of open files does not allow max_clients',
    'The broker serves as many clients as the text says.',
    'Raise LimitNOFILE in the unit, or lower max_clients.'
  ),
  'stop-incomplete': error(
    'a299fe3f812743c5a277d62eb7d391e2',
    'Something could not be put away at the stop',
    'The rest was, and the broker has ended. The text names what may be left behind.',
    'Look whether a file is in the way of the next start.'
  ),
  'stop-cut-off': warning(
    '612827407bea41d19a7cfa4df6b7f13d',
    'The stop has cut clients off',
    'They had calls or streams in flight when shutdown_timeout was over, or the stop was to be at once.',
    'See which driver daemon does not answer, or raise shutdown_timeout.'
  ),
  'audit-failing': error(
    'd675086b30c341ac9d0dbcd231d68163',
    'Records of the audit cannot be written',
    'They are kept for a while; what comes beyond that is lost, counted, and told by a record when there is room again. With ' +
      '`audit_fail_closed` calls that change something are refused meanwhile.',
    'Make room on the disk, or start whoever reads the socket. docs/audit.md tells more.'
  ),
  'audit-not-reopened': error(
    '7b79c3e9ac8844eeb046607312c445f7',
    'The file of the audit was to be opened anew, and could not be',
    'Records go on into the old one, which may have been renamed.',
    'Put right what the text names, and send SIGUSR1 again.'
  ),
  'log-not-reopened': error(
    '525ac7ea33a94cacb6dec46b0af34e30',
    "The log's files were not opened anew",
    'One of them cannot be opened. All outputs stay as they are, and lines go to the renamed files.',
    'Put right what the text names, and send SIGUSR1 again.'
  ),
  'thread-died': error(
    '6079a9b23961420bb940c955729a6d92',
    'An actor thread has died and is replaced',
    'Its clients have lost their connections; all others go on.',
    'If it happens again, report it with the text. Clients connect again as they do after a restart.'
  ),
  'threads-late': error(
    '039b3530f359405d9d6b48ebb851ae9a',
    'Threads did not close their clients in time at the stop',
    'They were ended all the same.',
    'A driver daemon or a file system may hang.'
  ),
  'internal-failure': error(
    '5eb1ca817db74ff7b65baef736cbe7cd',
    'An unexpected failure while a client was served',
    'That client has lost its connection, and nobody else.',
    'Report it with the text.'
  ),
  'name-service-hangs': warning(
    'd9c5afa356bb46a6896f742d53a5d832',
    "The lookup of a user's or group's name does not end",
    'The client is served without the name, or refused where it is needed; the process that asked is replaced.',
    'Look after the name service of the host (nsswitch.conf, sssd).'
  ),
  'log-lost': error(
    '44ebf5835d2747c2b5042b183cfe1e07',
    'Lines of the log were lost',
    'Their reader did not take them, or the disk was full. The broker waits for neither.',
    'If it happens again, see what keeps the log daemon or the disk busy, or ask for less (log_level).'
  ),

  'metrics-not-served': error(
    'dbee20bff7c847bbbee91df7caa5273f',
    'The metrics cannot be had',
    'Something else is at the place that metrics_listen names, or it cannot be made. The broker serves its clients without them.',
    'Free the place, or give another one, and restart the broker.'
  ),

  'page-token-wrong': warning(
    '4a88458b3a2444498a8895eba762e7f7',
    'The live page was asked for with a wrong token',
    'Somebody of this host, or by way of it, has tried. Nothing was shown. One line a minute at most.',
    'If it was not you: see who is logged in here, and put another token into the file of metrics_token.'
  ),

  'module-failed': error(
    '5432fed056644b61be5a3e600d6082a2',
    'The module for the threads cannot be loaded',
    'The thread serves its clients without it.',
    'See that the file that thread_module names is an ES module whose own imports are found beside it.'
  ),

  'module-threw': error(
    '2e464600fa7e43cf896052f08085e040',
    'The module for the threads has thrown',
    'Clients are served as before. What the module was told of just then may be missing where it counts or records.',
    'Mend the module that thread_module names, or a package that it imports.'
  ),

  // Listeners and limits

  'listener-failed': error(
    '4d6bbb6cb84342a484324e80ac1f2ce9',
    'A listener cannot take a connection',
    'Mostly because descriptors or memory are short. It tries again.',
    'Look at LimitNOFILE and at the memory of the host.'
  ),
  'listener-not-again': error(
    'b943fd736e1243d588001a53aaee18b7',
    'A socket could not be listened on again at a reload',
    'If it had made way for another that could not be had either, it is closed, and nobody can connect there. Else it goes on as it was.',
    'See who has taken the port, or what forbids to listen, and reload again.'
  ),
  'admin-stranger': warning(
    '1ac76734bb674d4f855872323401bbca',
    "Somebody else than root or the broker's own user wanted to administer it",
    'The connection was closed at once.',
    'See who it is; the mode of the admin socket (unix_sock_admin_perms) should not have let them that far.'
  ),
  'admin-refused': warning(
    'fc1155e373e44e27aeea9f5542a7d756',
    'A connection to the admin socket could not be served',
    'It was closed. The text is the reason.',
    'Raise the limit of open files, if that is it, and try again.'
  ),
  'thread-silent': warning(
    'c354a1d7119b44d9b62b2ca9bf1197d3',
    'An actor thread has not told in time what a client is doing',
    'What the supervisor knows of the client was shown without that.',
    'If it goes on, see what the thread has to do; one that does not come back is replaced.'
  ),
  'connections-wait': warning(
    '6e90b2e910674b48bf265d137bbcb232',
    'Connections wait, because a limit is reached',
    'They are served when others go; silent ones that have not logged in go first.',
    'If they are clients of yours, raise the limit that the text names; else see who connects.'
  ),
  'client-displaced': warning(
    'fe6ffb1ffdf04d47bc07ebbaf339c50d',
    'A connection was closed for another',
    'A limit is reached, and this one was silent, or its owner has most of those that have not logged in.',
    'As for connections that wait: somebody connects more often than the limits provide for.'
  ),
  'client-refused': warning(
    'ed9bdcbf1c014a86b2a9c4d1e361d210',
    'A connection was refused',
    'Its address or user has as many as it may have, or there is no room for it to wait.',
    'Raise the limit that the text names, or see who connects.'
  ),
  'closing-behind': warning(
    '9ccb6fe794d2420c8f26c7728842b7d0',
    'Connections that were refused cannot be closed as fast as they come',
    'No more are taken over UNIX sockets until that is done.',
    'Somebody on this host connects again and again: see who.'
  ),

  // Logging in

  'login-refused': error(
    '24b61dee93464663bf625f8ba50ddfc5',
    'A client could not prove who it is, or is not allowed in',
    'The client is told that, and not why; the text is the reason.',
    "Nothing, if it is a mistake of the client's. Else see the accounts, the polkit rules or sasl_allowed_username_list."
  ),
  'login-late': warning(
    '8e03b6987f2f4767b3626996cc935d7a',
    'A client did not log in in time',
    'Its connection is closed.',
    'Raise login_timeout if it is somebody who types a password slowly. Scanners of ports cause this too.'
  ),
  'too-many-logins': warning(
    '6d2cd53bd5394ed59b8fb21ed76ddd84',
    'A client tried to log in too often on one connection',
    'Its connection is closed.',
    'See whether somebody tries passwords.'
  ),
  'calls-before-login': warning(
    '4650b198b57f4cb2ba3eefaa18814b57',
    'A client made call after call that were refused before it logged in',
    'Its connection is closed.',
    'The client is faulty, or hostile.'
  ),
  'sasl-offer': warning(
    '1ace6944887c4775b76583de2554adbf',
    'SASL does not offer what the configuration wants',
    'Clients of the listener that the text names may be unable to log in.',
    "Install the mechanism's package, or see /etc/sasl2/libvirt.conf: docs/authentication.md."
  ),
  'sasl-thread-died': error(
    '65a3e2e65db74fb1a85ffd8344a7aef8',
    'The thread that calls libsasl2 has died and is replaced',
    'Logins in progress have failed.',
    'If it happens again, report it with the text and the versions of libsasl2 and its plugins.'
  ),

  // TLS

  'tls-handshake-failed': warning(
    '27b86862b06542b1ac7080f47dd38725',
    'A TLS handshake failed',
    "The text has OpenSSL's reason.",
    "See the client's certificate and libraries, and tls_priority. Scanners of ports cause this too."
  ),
  'proxy-header-refused': warning(
    'c7e811875f2d44eeb9b99da5a9d7d853',
    'What came is not the header of a proxy',
    'The connection was closed: with proxy_protocol = "require" each over TCP and TLS begins with that header.',
    'Have the proxy send it (send-proxy-v2 in HAProxy), or leave proxy_protocol off where clients come by themselves.'
  ),
  'tls-client-refused': error(
    'ce4ad89b81d94d2799fa797c6bed727d',
    "A client's certificate is not accepted",
    'It is unknown, revoked, out of its time, too weak, or its name is not in tls_allowed_dn_list.',
    'Nothing, if it is not to come in. Else see docs/tls.md.'
  ),
  'tls-client-doubtful': warning(
    'be6d29fcf7894a419945d10c7015f77a',
    "A client's certificate is accepted in spite of a fault",
    'The text names the fault.',
    'Renew the certificate.'
  ),
  'tls-connection-failed': warning(
    '9d537c240d6a43a2a78e177d0509fff7',
    'A TLS connection broke off',
    'What came does not belong to the connection, or the client ended it with an alert.',
    "See the network, and the client's libraries."
  ),
  'certificate-doubtful': warning(
    'b2436d1d0c214f2c87033885e3a694e7',
    "A certificate or revocation list of the broker's own has a fault",
    'It is used all the same.',
    'Renew what the text names.'
  ),
  'certificate-ends': warning(
    '403ff37874864f3da3820dda05c4aa79',
    "A certificate of the broker's own ends soon",
    'From the day on that the text tells, clients refuse the broker.',
    'Renew it; a reload is enough.'
  ),
  'certificate-expired': error(
    '58bc37bd1db848c48d5be0adaa4243ab',
    "A certificate of the broker's own has expired",
    'Clients refuse the broker.',
    'Renew it; a reload is enough.'
  ),
  'tls-files-kept': error(
    '3b85ec6b23f44e6182383b25b838dc10',
    'The TLS files were not loaded anew',
    'One of them cannot be used. The old ones stay in use.',
    'Put right what the text names, and reload again.'
  ),

  // Clients

  'protocol-violation': error(
    'f2a2a1526d0b4d43b6d334f98e1427d9',
    'A client broke the rules of the protocol',
    'Its connection is closed.',
    'The client is faulty, or hostile; the text says what it did.'
  ),
  'sasl-layer-broken': error(
    '5b35a0228f484c2b9f71b39f9b005794',
    'What a client sent cannot be decrypted by SASL',
    'Its connection is closed.',
    "See the network, and the client's SASL library."
  ),
  'client-memory': error(
    '155d0ddc54f24b3784e900d0bf9551dd',
    'Clients that have not opened a connection hold too much memory',
    'The one that held most has lost its connection.',
    'The client is faulty, or hostile.'
  ),
  'client-descriptors': warning(
    'baf6b20e47f94afbbc96b88325b32742',
    'A client sent more file descriptors than the broker can take',
    'Its connection is closed.',
    'Raise LimitNOFILE, if the client has reason to.'
  ),
  'client-silent': error(
    '0f7f36580d064857a8c1d0d660ab6e83',
    'A client did not answer questions whether it lives',
    'Its connection is closed.',
    'The client or the network hangs. See keepalive_interval and keepalive_count.'
  ),
  'client-stalled': warning(
    'ed724b29591f46f58d76669eedabde3c',
    'A client did not read what waits for it',
    'Its connection is closed.',
    'The client hangs, or reads slower than it lets others send. See client_stall_timeout.'
  ),
  'slow-call': warning(
    '7ccdc5b15d9746a99cf31bb96535c0e5',
    'A call has taken long',
    'It took as long as slow_call_ms says, or longer. The text tells what it was, and where the time went.',
    'A daemon waits for storage, a guest or a lock. Calls wait in the broker where their client sends many at once.'
  ),
  'call-denied': warning(
    'c1f5d573764146dd9b97b7c6e1453835',
    'The policy refused a call',
    'The client got the error that libvirt has for it.',
    'Nothing, if it is not to make such calls. Else see procedure_policy.'
  ),

  // Driver daemons

  'no-driver': warning(
    '1d75454cfb9342bcaea40fd17810f462',
    'No driver daemon listens for what a client wants to open',
    'The client got the error.',
    'Start the unit that the text names, or see driver_sockets.'
  ),
  'driver-foreign': warning(
    '8e17b8b82fff4716997ba3d91f067618',
    "The socket of a driver daemon is somebody else's",
    'It belongs neither to root nor to the user of the broker, and nothing is sent to it.',
    "See who made it. It may be there to catch clients' calls."
  ),
  'driver-violation': error(
    'b3ead0a641e24bb68eb5485add919100',
    'A driver daemon broke the rules of the protocol',
    'The connection to it is closed.',
    'Report it with the text and the version of libvirt.'
  ),
  'driver-crowded': warning(
    '4bb72f3853594b71a64c11bb1ab9986d',
    'Calls wait for driver connections on which others are stuck',
    'So many calls of one identity do not come back that no further shared connection is opened for those that wait.',
    'See which guest or object those calls are about. With driver_sharing = "off" clients do not wait for each other.'
  ),
  'driver-refused': warning(
    '19fb129d3c7d4879a00c5216ee667a11',
    'No further connection to a driver daemon could be opened',
    'The clients that share the connections that are there go on with these.',
    'The text is the reason. The daemon may have reached its own max_clients.'
  ),
  'driver-died': error(
    '857aa14936e44e71add207ab9384bc50',
    'A driver daemon ended within a long reply',
    'The client that had a part of the reply has lost its connection.',
    'See why the daemon ended. The client connects again.'
  ),
  'registration-refused': warning(
    'f6538fc30d4d4bed9964931b59c68600',
    'A driver daemon that came again refused an event registration',
    'The client gets no events of the kind any more.',
    'Restart the client, and see what has changed in the daemon.'
  ),

  // The embedded test driver

  'test-driver-failed': error(
    '41ad8574650a44059d5f1e14f2a99219',
    'The embedded test driver has died, did not start, or had a failure',
    'It is started again, with its hypervisors as at the beginning.',
    'Report it with the text.'
  ),
  'test-driver-root': warning(
    '3612aa7a17b6480ea9b3677151608550',
    'The embedded test driver runs as root',
    'It could not become the user of embedded_test_driver_user, and opens no file outside its directory.',
    'Create the user, or use the embedded test driver where you are not root.'
  )
} as const

export type MessageKind = keyof typeof MESSAGE_KINDS

/** What can be said: a message of one of the kinds, which has the kind's level, or anything at a level below them. */
export type LogKind = 'debug' | 'info' | MessageKind
