/** Accepts connections on a port of the loopback interface, which it prints, and closes each at once. */
import { createServer, type AddressInfo } from 'node:net'

const server = createServer(socket => socket.destroy())
server.listen({ host: '127.0.0.1', port: 0, backlog: 1000 }, () => console.log((server.address() as AddressInfo).port))
