/* SPDX-License-Identifier: Apache-2.0 */
#include "netlab/cli/cli.h"

/* All commands, in the order "netlab help" shows them, with what --help says of each. */

const struct cli_command cli_commands[] = {
	{
		.name = "up",
		.run = cli_up,
		.summary = "start the lab that a topology file describes, or make it what that says now",
		.usage = "netlab up [OPTIONS] [FILE]",
		.help = "Starts a lab and waits until its nodes are ready. FILE is a topology, or a\n"
			"folder with one; without it, topology.yaml or the only YAML file in the current\n"
			"folder is taken. Ctrl-C takes everything down again.\n"
			"\n"
			"A lab that runs is made what FILE says now: the changes are shown, you are asked,\n"
			"and only what changed is touched. A node whose own description changed gets a\n"
			"new machine; all others run on.\n"
			"\n"
			"  --name NAME          call the lab NAME, so that one topology can run twice\n"
			"  --captures FOLDER    where captures go (default: ./captures/LAB)\n"
			"  --no-capture         capture nothing\n"
			"  --cold               boot every node, rather than have it go on from a template of\n"
			"                       its image (\"netlab image --help\")\n"
			"  --from SNAPSHOT      go on where the lab was when that was saved (\"netlab snapshot\")\n"
			"  --overcommit         start it even if its nodes may come to need more memory than\n"
			"                       there is; should they, the kernel ends whole labs\n"
			"  --timeout SECONDS    how long to wait for nodes to be ready (default: 300; 0: for ever)\n"
			"  -y, --yes            change a lab that runs without asking\n"
			"  --plan               only show what would change\n"
			"\n"
			"Examples:\n"
			"  netlab up\n"
			"  netlab up --plan\n"
			"  netlab up labs/router --captures /tmp/router\n"
			"  netlab up office.yaml --name office2",
	},
	{
		.name = "down",
		.run = cli_down,
		.summary = "stop a lab; nothing of it stays but its captures",
		.usage = "netlab down [--all] [LAB]",
		.help = "Stops the lab and waits until it is gone and its captures are complete.\n"
			"\n"
			"  --all                every running lab of yours\n"
			"\n"
			"Examples:\n"
			"  netlab down\n"
			"  netlab down office\n"
			"  netlab down --all",
	},
	{
		.name = "status",
		.run = cli_status,
		.summary = "show nodes, ports and counters of a lab",
		.usage = "netlab status [LAB]",
		.help = "Shows each node's state, each port's frames and bytes, why frames were dropped,\n"
			"and what a capture lost. A crashed node is shown with its registers. The JSON\n"
			"form is described in docs/control-protocol.md.\n"
			"\n"
			"MEMORY is what a node may use, PRIVATE what this machine has given it alone, and\n"
			"SHARED what it uses of its template. The line below the nodes counts what they\n"
			"share once, and what they share with other labs in parts.\n"
			"\n"
			"Examples:\n"
			"  netlab status\n"
			"  netlab status office --format json | jq '.ports[] | {name, drops}'",
	},
	{
		.name = "top",
		.run = cli_top,
		.summary = "show what crosses the ports of a lab, as it happens",
		.usage = "netlab top [OPTIONS] [LAB] [PORT...]",
		.help = "Shows frames and bits a second of each port, sent (TX) and received, and frames\n"
			"that were dropped, with the reasons, of the last interval; RX FREE are buffers that\n"
			"the guest's NIC has free for frames, and of how many, QUEUED bytes that wait for a\n"
			"peer outside of the lab, UNCAPTURED frames that a capture lost. PORT is as in\n"
			"\"netlab status\"; a node stands for all of its ports.\n"
			"\n"
			"On a terminal the table is drawn again and again; b, f, d and n, or left and right,\n"
			"sort it by bits, frames, drops or names, up and down move it, and q leaves.\n"
			"Otherwise there is a table for each interval.\n"
			"\n"
			"  -i, --interval TIME  how long the intervals are (default: 1s)\n"
			"  -n, --iterations N   end after N of them\n"
			"\n"
			"\"--format json\" prints an object a line for each; docs/control-protocol.md describes\n"
			"it.\n"
			"\n"
			"Examples:\n"
			"  netlab top\n"
			"  netlab top r1 --interval 5s\n"
			"  netlab top -n 10 --format json | jq -c '.ports[] | [.name, .tx_bits_per_second]'",
	},
	{
		.name = "stats",
		.run = cli_stats,
		.summary = "print the counters of a lab, also for Prometheus",
		.usage = "netlab stats [LAB]",
		.help = "Prints what is counted of ports, nodes and networks. \"--format prometheus\" is the\n"
			"text that Prometheus reads, as of a file that its node exporter collects.\n"
			"docs/control-protocol.md describes that and the JSON form.\n"
			"\n"
			"Examples:\n"
			"  netlab stats\n"
			"  netlab stats --format json | jq '[.ports[].drops | add] | add'\n"
			"  netlab stats --format prometheus >/var/lib/node_exporter/office.prom",
		.format = "prometheus",
	},
	{
		.name = "list",
		.run = cli_list,
		.summary = "list running labs",
		.usage = "netlab list",
		.help = "Lists your running labs, and removes what labs that were killed have left\n"
			"behind.\n"
			"\n"
			"Example:\n"
			"  netlab list --format json",
	},
	{
		.name = "check",
		.run = cli_check,
		.summary = "check a topology file; nothing is started",
		.usage = "netlab check [FILE]",
		.help = "Reads a topology and says what is wrong with it, with line and column. Needs no\n"
			"privileges and no image.\n"
			"\n"
			"Example:\n"
			"  netlab check topology.yaml && netlab up",
	},
	{
		.name = "exec",
		.run = cli_exec,
		.summary = "run a command in a node",
		.usage = "netlab exec [OPTIONS] NODE [--] COMMAND [ARGUMENTS...]",
		.help = "Runs a command in a node, as ssh does on another host but without any network,\n"
			"and exits with the command's status: 128 plus the signal that killed it, 127 if\n"
			"it is not there, 125 if netlab failed. Standard input is passed on; SIGINT and\n"
			"SIGTERM go to the command. The third one, or a SIGTERM after which the command\n"
			"goes on for 5 seconds, ends netlab, which hangs up on the command.\n"
			"\n"
			"  -t, --tty            on a terminal, for programs that want one\n"
			"  -n, --no-stdin       pass nothing on: for loops that read standard input themselves\n"
			"  -i, --interactive    pass standard input on, which is done anyway\n"
			"  -e, --env KEY=VALUE  set a variable in the command's environment\n"
			"\n"
			"Examples:\n"
			"  netlab exec h1 -- ping -c 3 10.0.0.2\n"
			"  netlab exec office/h1 sh -c 'ip route | wc -l'\n"
			"  netlab exec -t r1 -- top\n"
			"  netlab exec r1 -- tcpdump -i eth1 -U -w - | wireshark -k -i -",
	},
	{
		.name = "connect",
		.run = cli_connect,
		.summary = "use a node's console; Ctrl-] leaves",
		.usage = "netlab connect NODE",
		.help = "Joins your terminal to the node's console. Several may do so at once. Ctrl-]\n"
			"leaves. When standard input is no terminal it is typed in, and netlab leaves\n"
			"when no more output comes.\n"
			"\n"
			"Examples:\n"
			"  netlab connect h1\n"
			"  echo 'ip address' | netlab connect h1",
	},
	{
		.name = "logs",
		.run = cli_logs,
		.summary = "show a node's boot log",
		.usage = "netlab logs [-f] [-n BYTES] NODE",
		.help = "Prints the node's boot log and what the virtual machine says of it.\n"
			"\n"
			"  -f, --follow         go on as it grows\n"
			"  -n, --tail BYTES     at most so many of its last bytes\n"
			"\n"
			"Example:\n"
			"  netlab logs -f r1",
	},
	{
		.name = "cp",
		.run = cli_copy,
		.summary = "copy files into a node or out of it",
		.usage = "netlab cp [-r] SOURCE DESTINATION",
		.help = "One of the two is NODE:PATH; - is standard input or output. A new file\n"
			"gets the mode of the source. It works when the node's network does not. A local\n"
			"name with a colon is written ./NAME.\n"
			"\n"
			"  -r, --recursive      copy a folder\n"
			"\n"
			"Examples:\n"
			"  netlab cp server.py h1:/root/\n"
			"  netlab cp h1:/etc/resolv.conf -\n"
			"  netlab cp -r www h2:/srv/www",
	},
	{
		.name = "validate",
		.run = cli_validate,
		.summary = "run the tests of a lab's topology",
		.usage = "netlab validate [--list] [--fail-fast] [TEST...]",
		.help = "Runs the tests that stand under \"validate:\" in the topology of a running lab, all\n"
			"or those that are named, in the order of the file. Says of each that fails what\n"
			"was expected and what came. Exits with 0 if all have passed, with 1 if one failed.\n"
			"\n"
			"  --list               only list them\n"
			"  --fail-fast          stop at the first one that fails\n"
			"\n"
			"\"--format junit\" prints XML that CI systems read; docs/control-protocol.md\n"
			"describes the JSON form.\n"
			"\n"
			"Examples:\n"
			"  netlab validate\n"
			"  netlab validate ping arp\n"
			"  netlab up && netlab validate --format junit >result.xml; netlab down",
		.format = "junit",
	},
	{
		.name = "capture",
		.run = cli_capture,
		.summary = "capture frames of a running lab, live or from its recorder",
		.usage = "netlab capture [OPTIONS] [PORT... | --all]",
		.help = "Captures what crosses ports, with all the lab knows of each frame, in the format\n"
			"pcapng: to a file, or to another program if standard output leads to one. PORT is\n"
			"as in \"netlab status\"; a node stands for all of its ports. Ctrl-C ends it, and says\n"
			"how many frames there were. docs/capture.md explains what is in them.\n"
			"\n"
			"  --all                all ports of the lab, also those that come later; so it is\n"
			"                       without any PORT as well\n"
			"  -w, --write FILE     write to FILE; - is standard output\n"
			"  -f, --filter FILTER  only frames that pass it, as of pcap-filter(7)\n"
			"  -s, --snaplen BYTES  at most so many of each frame\n"
			"  --clean              without frames that were dropped, and without comments\n"
			"  --events             with what else happened, such as a node that crashed, as\n"
			"                       comments of the next frame\n"
			"  --last TIME          what crossed in the TIME before now, and no more; \"all\" is\n"
			"                       whatever is still recorded\n"
			"  --trigger FILTER     wait for a frame that passes FILTER, and capture what is\n"
			"                       around it\n"
			"  --before TIME        how much of what was before it (default: 5s)\n"
			"  --after TIME         how long to go on after it (default: 2s)\n"
			"  -c, --count NUMBER   end after so many frames\n"
			"  -d, --duration TIME  end after TIME\n"
			"  --rotate-size SIZE   write a series, FILE_00001_DATE and so on, of files of at most\n"
			"                       SIZE; each can be read without the others\n"
			"  --rotate-time TIME   begin another file of the series after TIME\n"
			"  --rotate-files N     keep only the last N files of the series\n"
			"\n"
			"Examples:\n"
			"  netlab capture r1:eth1 | wireshark -k -i -\n"
			"  netlab capture --all -w office.pcapng -f 'tcp port 80'\n"
			"  netlab capture --last 30s -w bug.pcapng\n"
			"  netlab capture --trigger 'tcp[tcpflags] & tcp-rst != 0' -w reset.pcapng\n"
			"  netlab capture --all -w day.pcapng --rotate-size 100M --rotate-files 10",
	},
	{
		.name = "wireshark",
		.run = cli_wireshark,
		.summary = "show frames of a running lab in Wireshark",
		.usage = "netlab wireshark [OPTIONS] [PORT... | --all]\n"
			 "       netlab wireshark --install | --uninstall [--folder FOLDER]",
		.help = "Starts Wireshark on what crosses the ports, which are given as to \"netlab capture\".\n"
			"\n"
			"With --install, netlab is an extcap program of Wireshark from then on: all ports of\n"
			"running labs, and each lab as a whole, stand among Wireshark's own interfaces, and\n"
			"among tshark's.\n"
			"\n"
			"  --all, -f, --filter, -s, --snaplen, --clean, --events, --last, --trigger, --before,\n"
			"  --after              as \"netlab capture --help\" says\n"
			"  --install            put a link to netlab into Wireshark's extcap folder\n"
			"  --uninstall          remove it\n"
			"  --folder FOLDER      that folder, if it is not the user's own\n"
			"\n"
			"Examples:\n"
			"  netlab wireshark r1:eth1\n"
			"  netlab wireshark --last 1m\n"
			"  netlab wireshark --install && tshark -D",
	},
	{
		.name = "trace",
		.run = cli_trace,
		.summary = "show where a frame went, or what there was between two nodes",
		.usage = "netlab trace [OPTIONS] ID\n"
			 "       netlab trace [OPTIONS] --flow NODE NODE",
		.help = "Shows the path of a frame port by port, how many nanoseconds after its beginning it\n"
			"was there, and its end: who received it, or where and why it was dropped. ID is what\n"
			"Wireshark calls frame.packet_id, and the FRAME of this command's tables.\n"
			"\n"
			"With --flow, the last packets between two nodes, or a node and what leads out of the\n"
			"lab (\"network:NAME\"), and what became of each. Such a packet was sent by one of them,\n"
			"not only forwarded, and is for the other: for an address that the other has used in\n"
			"what is looked at. What is for a group, or for an address that nobody has used, is for\n"
			"whom it came to.\n"
			"\n"
			"A router makes a new frame of a packet. It is found by a heuristic: the same node sent\n"
			"it later, with the same addresses, identification (or flow label) and payload, and\n"
			"less time to live. So it may be wrong where packets are all alike, and what was changed\n"
			"on the way, by NAT or fragmentation, is not found.\n"
			"\n"
			"What is looked at is what the lab's recorder has, or a file that netlab wrote.\n"
			"\n"
			"  --flow               packets between two nodes\n"
			"  -n, --count NUMBER   no more than so many of them, the last ones (default: 20)\n"
			"  --last TIME          only what crossed in the TIME before now, or before the end of\n"
			"                       the file\n"
			"  -r, --read FILE      look into FILE, such as captures/LAB/lab.pcapng; - is standard\n"
			"                       input\n"
			"\n"
			"The JSON forms are described in docs/control-protocol.md.\n"
			"\n"
			"Examples:\n"
			"  netlab trace --flow h1 h2\n"
			"  netlab trace 4711\n"
			"  netlab trace --flow h1 network:uplink --last 10s\n"
			"  netlab trace -r bug.pcapng 4711 --format json | jq .dropped",
	},
	{
		.name = "drops",
		.run = cli_drops,
		.summary = "show which frames were dropped, by port and reason",
		.usage = "netlab drops [--since TIME] [-r FILE] [PORT...]",
		.help = "Counts the frames that were dropped, by port and reason, and says what the reasons\n"
			"mean. PORT is as in \"netlab status\"; a node stands for all of its ports.\n"
			"\n"
			"Without options these are the counters of \"netlab status\", from the lab's beginning\n"
			"on. Of a capture the last frame of each kind is known as well, which \"netlab trace\"\n"
			"tells more of.\n"
			"\n"
			"  --since TIME         what the lab's recorder has of the TIME before now, or a file of\n"
			"                       the TIME before its end; \"all\" is whatever it has\n"
			"  -r, --read FILE      count in FILE, such as captures/LAB/lab.pcapng; - is standard\n"
			"                       input\n"
			"\n"
			"The JSON form is described in docs/control-protocol.md.\n"
			"\n"
			"Examples:\n"
			"  netlab drops\n"
			"  netlab drops --since 10s r1\n"
			"  netlab drops -r bug.pcapng --format json | jq '.drops[] | {port, reason, count}'",
	},
	{
		.name = "restart",
		.run = cli_restart,
		.summary = "give a node a new machine and boot it",
		.usage = "netlab restart [--timeout SECONDS] NODE",
		.help = "Replaces the node's machine, whatever state it is in, and waits until it is\n"
			"ready.\n"
			"\n"
			"  --timeout SECONDS    how long to wait (default: 300; 0: for ever)\n"
			"\n"
			"Example:\n"
			"  netlab restart r1",
	},
	{
		.name = "pause",
		.run = cli_pause,
		.summary = "hold a node, or a whole lab, where it is",
		.usage = "netlab pause [NODE | LAB]",
		.help = "Holds the processors of a node, or of all nodes, until \"netlab resume\".\n"
			"While all nodes that run are paused, the lab's time stands still: frames on\n"
			"their way in links with a delay or a rate, schedules of links, and links that\n"
			"flap go on where they were. What is outside of the lab is not held.\n"
			"\n"
			"Examples:\n"
			"  netlab pause r1\n"
			"  netlab pause",
	},
	{
		.name = "resume",
		.run = cli_resume,
		.summary = "let what was paused go on",
		.usage = "netlab resume [NODE | LAB]",
		.help = "Lets a node, or all nodes, go on after \"netlab pause\".\n"
			"\n"
			"Example:\n"
			"  netlab resume r1",
	},
	{
		.name = "switch",
		.run = cli_switch,
		.summary = "show what a network's switch has learnt, or have it forget",
		.usage = "netlab switch [NETWORK] [show | flush]",
		.help = "Shows the ports of a network, or of all, with their VLANs and other rules\n"
			"(docs/topology.md), and the addresses that were learnt behind them. With\n"
			"\"flush\" these are forgotten, so that frames go everywhere until they are learnt\n"
			"again. STATE is whether something is there that could take a frame.\n"
			"\n"
			"Examples:\n"
			"  netlab switch\n"
			"  netlab switch lan show --format json | jq '.[].macs[] | select(.vlan == 10)'\n"
			"  netlab switch lan flush",
	},
	{
		.name = "link",
		.run = cli_link,
		.summary = "show links, take them down, cut one direction, have them flap",
		.usage = "netlab link [PORT [down | up | flap]] [OPTIONS]",
		.help = "Shows all links of a lab, or that of a port: its two ends, whether it is up, and\n"
			"what frames meet in each direction (\"netlab tc\"). PORT is as in \"netlab status\",\n"
			"h1:eth0 or network:uplink; a node with one interface may stand for it.\n"
			"\n"
			"\"down\" takes the link's carrier, so that the guests at its ends see NO-CARRIER, and\n"
			"frames end with link-down, those that are on their way as well; \"up\" gives it back,\n"
			"and mends what was cut. \"flap\" does one after the other and waits for it; Ctrl-C\n"
			"ends that and leaves the link up.\n"
			"\n"
			"  --tx, --rx           down, up: only what PORT sends, or what it receives, is cut or\n"
			"                       mended; the carrier stays, so nobody is told\n"
			"  -n, --count N        flap: how often the link goes down (default: 1)\n"
			"  --down TIME          flap: for how long each time (default: 1s)\n"
			"  --up TIME            flap: and how long it is up in between (default: 1s)\n"
			"\n"
			"Examples:\n"
			"  netlab link\n"
			"  netlab link r1:eth1 down\n"
			"  netlab link r1:eth1 down --tx\n"
			"  netlab link r1:eth1 flap --count 5 --down 200ms",
	},
	{
		.name = "tc",
		.run = cli_tc,
		.summary = "show and change what frames meet on links: delay, loss, rate",
		.usage = "netlab tc [show [PORT] | set PORT KEY=VALUE... | clear PORT | reset PORT] [--tx | --rx]",
		.help = "\"show\", or nothing, shows for each direction of each link what frames meet there,\n"
			"and what became of them: FRAMES that came, of which LOST by chance, by a filter or\n"
			"by their length, and dropped by the QUEUE; DELAYED are those that came out again,\n"
			"of which were DUPLICATED, CORRUPTED, and REORDERED by overtaking others; WAITING\n"
			"are in the queue or on their way now; LATE says how much later than due frames came\n"
			"out, on average and at most.\n"
			"\n"
			"\"set\" changes the keys that are given and leaves the others; they are those of\n"
			"\"impair:\" in topologies (docs/topology.md), and \"off\" takes one back. \"clear\" takes\n"
			"all back, and \"reset\" has it be what the topology says. What was changed here lasts\n"
			"until then, until the schedule says otherwise, or until \"netlab up\" changes the lab.\n"
			"\n"
			"  --tx, --rx           only what PORT sends, or what it receives\n"
			"\n"
			"Examples:\n"
			"  netlab tc set r1:eth1 delay=20ms loss=1%\n"
			"  netlab tc set h1:eth0 --rx preset=dsl queue=100p\n"
			"  netlab tc set h1:eth0 gilbert-elliott=to-bad:1%,to-good:20%\n"
			"  netlab tc show r1:eth1\n"
			"  netlab tc clear r1:eth1",
	},
	{
		.name = "forward",
		.run = cli_forward,
		.summary = "have ports of this machine lead to a guest, through NAT",
		.usage = "netlab forward add FORWARD | remove FORWARD | list",
		.help = "A forward is PROTOCOL:[ADDRESS:]PORT:GUEST:PORT: tcp or udp, an address of this\n"
			"machine (default: 127.0.0.1), and a node or an address on a network with\n"
			"\"mode: nat\". For \"remove\" PROTOCOL:[ADDRESS:]PORT is enough. What is added here\n"
			"lasts until \"netlab up\" changes the lab to what its file says; \"forward:\" in\n"
			"the file lasts.\n"
			"\n"
			"Examples:\n"
			"  netlab forward add tcp:2222:r1:22\n"
			"  netlab forward list\n"
			"  netlab forward remove tcp:2222",
	},
	{
		.name = "snapshot",
		.run = cli_snapshot,
		.summary = "save a running lab, and bring it back to that instant",
		.usage = "netlab snapshot save NAME | restore NAME | list | delete NAME |\n"
			 "                       export NAME FILE | import FILE [NAME]",
		.help = "Saves a lab with all its nodes, their processes and connections, as of one\n"
			"instant. \"restore\" has the running lab be what it was then; \"netlab up --from\n"
			"NAME\" starts it from there. Captures go on in their files.\n"
			"\n"
			"\"export\" makes one file of a snapshot, with the topology and all it needs, for\n"
			"others to \"import\"; - is standard output or input. Guests go on only where the\n"
			"processor and KVM are of the kind they know.\n"
			"\n"
			"  --replace            save, import: in place of a snapshot that has the name;\n"
			"                       export: in place of FILE\n"
			"\n"
			"Examples:\n"
			"  netlab snapshot save before-ospf\n"
			"  netlab snapshot restore before-ospf\n"
			"  netlab down && netlab up --from before-ospf\n"
			"  netlab snapshot export before-ospf step3.netlab\n"
			"  netlab snapshot import step3.netlab && netlab up --from before-ospf\n"
			"  netlab snapshot export before-ospf - | ssh lab2 netlab snapshot import -",
	},
	{
		.name = "doctor",
		.run = cli_doctor,
		.summary = "check that this host can run labs, and say what helps",
		.usage = "netlab doctor",
		.help = "Looks for what labs need. Exits with 0 if they can run, with 3 if something is\n"
			"missing.\n"
			"\n"
			"Example:\n"
			"  netlab doctor --format json",
	},
	{
		.name = "image",
		.run = cli_image,
		.summary = "list guest images, build one, make its template",
		.usage = "netlab image list | build NAME | warm [NAME] | prune",
		.help = "Lists the images that are there, and the templates nodes go on from; builds an\n"
			"image (\"lab\" is the one topologies use unless they say otherwise, \"router\" is the\n"
			"same with BIRD); makes the template of one now rather than at the first \"netlab\n"
			"up\"; removes templates that are of no use any more.\n"
			"\n"
			"  --memory SIZE        warm: of nodes with this much memory (default: the image's)\n"
			"  --cpus NUMBER        warm: and with so many CPUs (default: the image's)\n"
			"\n"
			"Examples:\n"
			"  netlab image list\n"
			"  netlab image build lab\n"
			"  netlab image warm lab --memory 96M",
	},
	{
		.name = "completion",
		.run = cli_completion,
		.summary = "print a script for the shell's completion",
		.usage = "netlab completion bash",
		.help = "Prints a script that completes commands, options, labs and nodes.\n"
			"\n"
			"Example (in ~/.bashrc):\n"
			"  source <(netlab completion bash)",
	},
	{
		.name = "help",
		.run = cli_help,
		.summary = "show this, or what --help says of a command",
		.usage = "netlab help [COMMAND]",
		.help = "Lists the commands, or explains one as COMMAND --help does.",
	},
	{
		.name = "complete",
		.run = cli_complete,
		.usage = "netlab complete commands|impairments|labs|networks|nodes|ports|recipes|snapshots|tests",
		.help = "What there is, one a line, for the shell's completion.",
	},
	{.name = NULL},
};
