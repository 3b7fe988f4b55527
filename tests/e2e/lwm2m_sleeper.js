// A foreign LwM2M device in queue mode, on coap-packet: a relay that hears nothing but for the time after it said something. Argument: the
// server's port. Lines: `wake` registers or updates and listens, `sleep` is deaf. Says what it was answered and what it was asked.
'use strict';
const dgram = require('dgram');
const { parse, generate } = require('coap-packet');

let [port, socket, location, relay, message] = [0, null, null, '0', 1];
const segments = (name, values) => values.map(value => ({ name, value: Buffer.from(value) }));
const LINK = { name: 'Content-Format', value: Buffer.from([40]) };

function say(packet, to) { socket.send(generate(packet), to.port, to.address); }

function wake() {
    socket = dgram.createSocket('udp4');
    socket.on('message', heard);
    socket.bind(port, '127.0.0.1', () => {
        port = socket.address().port;
        const path = segments('Uri-Path', location || ['rd']);
        const query = location ? [] : segments('Uri-Query', ['ep=sleeper', 'lt=300', 'lwm2m=1.0', 'b=UQ']);
        const options = location ? path : [...path, LINK, ...query];
        const payload = Buffer.from(location ? '' : '</3306/0>');
        const head = { code: '0.02', confirmable: true, messageId: message++, token: Buffer.from([message]) };
        say({ ...head, options, payload }, { port: Number(process.argv[2]), address: '127.0.0.1' });
    });
}

function heard(bytes, from) {
    const packet = parse(bytes);
    const all = name => packet.options.filter(option => option.name === name).map(option => option.value.toString());
    if (packet.code === '2.01') { location = all('Location-Path'); }
    if (packet.code.startsWith('2.') || packet.code.startsWith('4.')) { return console.log('answered', packet.code); }
    if (!packet.code.startsWith('0.') || packet.code === '0.00') { return; }
    const path = '/' + all('Uri-Path').join('/');
    console.log('asked', packet.code, path, packet.payload.toString());
    const answer = (code, payload, options) =>
        say({ code, ack: true, messageId: packet.messageId, token: packet.token, options, payload: Buffer.from(payload) }, from);
    if (packet.code === '0.01' && path === '/3306/0') {
        return packet.options.some(option => option.name === 'Accept')
            ? answer('2.05', '</3306/0>,</3306/0/5850>', [LINK]) : answer('4.05', '', []);
    }
    if (packet.code === '0.03') { relay = packet.payload.toString(); return answer('2.04', '', []); }
    answer('2.05', relay, [{ name: 'Content-Format', value: Buffer.alloc(0) }]);
}

require('readline').createInterface({ input: process.stdin }).on('line', line => {
    if (line === 'wake') { return wake(); }
    socket.close(() => console.log('asleep'));
});
console.log('ready');
