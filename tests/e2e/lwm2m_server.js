// A foreign LwM2M server: coap-shepherd. Arguments: port, file for its database. Lines: `read PATH`, `observe PATH`, `write PATH JSON`.
// Says who came, and what it was answered.
'use strict';
const path = require('path');
// It asks for the way out of this machine, which a network of a test's own does not have.
require('network').get_active_interface = done => done(null, { name: 'lo', ip_address: '127.0.0.1', mac_address: '00:00:00:00:00:00', gateway_ip: '127.0.0.1' });
const config = require('coap-shepherd/lib/config');
Object.assign(config, {
    ip: '127.0.0.1', port: Number(process.argv[2]), dbPath: process.argv[3], defaultDbPath: process.argv[3],
    defaultDbFolder: path.dirname(process.argv[3]),
});
const shepherd = require('coap-shepherd');

let client;
shepherd.on('ready', () => { shepherd.permitJoin(600); console.log('ready'); });
shepherd.on('error', error => console.log('error', error.message));
shepherd.on('ind', message => {
    if (message.type === 'devIncoming') { client = message.cnode; }
    const data = message.data === undefined ? '' : JSON.stringify(message.data);
    console.log('heard', message.type, message.cnode && message.cnode.clientName, data);
});
shepherd.start(error => { if (error) { console.log('failed', error.message); } });
require('readline').createInterface({ input: process.stdin }).on('line', line => {
    const [word, target, value] = line.split(' ');
    const asked = word === 'read' ? client.readReq(target) : word === 'observe' ? client.observeReq(target) : client.writeReq(target, JSON.parse(value));
    asked.then(answer => console.log('answer', word, target, answer.status, JSON.stringify(answer.data)), error => console.log('error', error.message));
});
